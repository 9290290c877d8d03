/** The key service over its own LMDB store, as `waxseal up` and `waxseal kms serve` run it. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseKeySeeds, parsePrincipals, startKeyService, type KeyService } from '@waxseal/key-service';
import { openLmdbStore } from '@waxseal/storage';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import type { Started } from '../lifetime.js';
import type { KeyPair } from '../up/pki.js';

export interface KeyServiceSettings {
  /** Holds the store, the root key and the audit trail. */
  readonly folder: string;
  /** YAML: accounts, users, access keys, fixed keys. */
  readonly principalsFile: string;
  /** Lets fixed keys carry their material. Default false. */
  readonly allowPlaintextSeeds?: boolean;
  readonly port: number;
  /** Absent: plain HTTP on loopback. */
  readonly tls: KeyPair | undefined;
  readonly region: string;
  readonly logger: Logger;
}

/** Starts it and registers what has to be closed. */
export async function startKeyServicePart(
  started: Started,
  settings: KeyServiceSettings,
): Promise<KeyService> {
  const config = readFileSync(settings.principalsFile, 'utf8');
  const principals = parsePrincipals(config);
  const seeds = parseKeySeeds(config, { allowPlaintext: settings.allowPlaintextSeeds === true });
  const store = started.add(await openLmdbStore({ path: join(settings.folder, 'store') }));
  return started.add(
    await startKeyService({
      store,
      dataDir: settings.folder,
      ...(settings.tls === undefined ? { insecureHttp: true } : { tls: settings.tls }),
      port: settings.port,
      principals,
      seeds,
      defaultRegion: settings.region,
      logger: settings.logger,
      registry: new Registry(),
      now: Date.now,
      randomBytes,
    }),
  );
}
