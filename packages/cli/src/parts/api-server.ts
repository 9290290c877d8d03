/** The API server over a store, as `waxseal up` and `waxseal apiserver` run it. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { parseTokenFile, startApiServer, type ApiServer } from '@waxseal/apiserver';
import { createEncryptionAtRest } from '@waxseal/encryption-config';
import type { Store } from '@waxseal/storage';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import type { Started } from '../lifetime.js';
import { ensureServiceAccountKeys, ensureTokens } from '../up/client-files.js';
import type { DataDir } from '../up/data-dir.js';
import type { Pki } from '../up/pki.js';

export interface ApiServerSettings {
  readonly store: Store;
  readonly dataDir: DataDir;
  readonly pki: Pki;
  readonly encryptionConfig: string;
  readonly kmsV1Enabled: boolean;
  readonly port: number;
  readonly logger: Logger;
}

/** In tokens and discovery; nobody outside resolves it, as in most clusters. */
const serviceAccountIssuer = 'https://kubernetes.default.svc';

/** Starts it with its encryption at rest and registers what has to be closed; the store stays the caller's. */
export async function startApiServerPart(started: Started, settings: ApiServerSettings): Promise<ApiServer> {
  const { store, dataDir, pki, logger } = settings;
  const registry = new Registry();
  const encryption = started.add(
    await createEncryptionAtRest({
      file: settings.encryptionConfig,
      kmsV1Enabled: settings.kmsV1Enabled,
      automaticReload: true,
      // Hashed in the metrics, and the same after a restart: `waxseal rotate` tells servers apart by it.
      apiServerId: `${hostname()}:${dataDir.path}`,
      registry,
      logger,
    }),
  );
  await ensureTokens(dataDir.tokens);
  return started.add(
    await startApiServer({
      store,
      encryption,
      listen: { host: '127.0.0.1', port: settings.port },
      tls: { cert: pki.apiserver.cert, key: pki.apiserver.key, clientCa: pki.clientCa },
      tokens: parseTokenFile(readFileSync(dataDir.tokens, 'utf8')),
      serviceAccountKeys: await ensureServiceAccountKeys(dataDir.serviceAccountKey),
      serviceAccountIssuer,
      logger,
      registry,
      now: () => new Date(),
      randomBytes,
    }),
  );
}
