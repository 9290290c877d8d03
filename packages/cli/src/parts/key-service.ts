/** The key service over its own store, as `waxseal up` and `waxseal kms serve` run it. */
import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import {
  type ConfigFile,
  type KeySeed,
  openConfigFile,
  parseKeySeeds,
  startKeyService,
  type KeyService,
} from '@waxseal/key-service';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import type { Started } from '../lifetime.js';
import type { KeyPair } from '../up/pki.js';
import { type RootKeyOptions, rootKeyProtectors } from './root-key.js';
import { openStore, type StorageOptions } from './store.js';

export interface KeyServiceSettings {
  /** Holds the store, the root key and the audit trail. */
  readonly folder: string;
  /** YAML: accounts, users, access keys, fixed keys. */
  readonly principalsFile: string;
  /** Lets fixed keys carry their material. Default false. */
  readonly allowPlaintextSeeds?: boolean;
  /** Makes the fixed keys that are not there. Default true. */
  readonly makeSeeds?: boolean;
  /** Default 127.0.0.1. */
  readonly host?: string;
  readonly port: number;
  /** Absent: plain HTTP on loopback. */
  readonly tls: KeyPair | undefined;
  readonly region: string;
  /** Default: the root key is in a file, or where the store says, asked for with the SDK's or the environment's settings. */
  readonly rootKey?: RootKeyOptions;
  /** Default: LMDB in the folder. */
  readonly storage?: StorageOptions;
  /** Port of /livez, /readyz and /metrics on 127.0.0.1. */
  readonly healthPort?: number | undefined;
  readonly auditRetentionDays?: number | undefined;
  readonly logger: Logger;
}

/** Starts it and registers what has to be closed. */
export async function startKeyServicePart(
  started: Started,
  settings: KeyServiceSettings,
): Promise<KeyService> {
  const path = resolve(settings.principalsFile);
  const { logger, allowPlaintextSeeds: allowPlaintext = false } = settings;
  let seeds: readonly KeySeed[] = [];
  const config = started.add(
    await openConfigFile({
      path,
      logger,
      atStart(text) {
        if (settings.makeSeeds !== false) seeds = parseKeySeeds(text, { allowPlaintext });
      },
    }),
  );
  reloadOnHangUp(started, config, settings.logger);
  const storage = settings.storage ?? { storage: { kind: 'lmdb' } };
  const store = started.add(await openStore(storage, join(settings.folder, 'store')));
  return started.add(
    await startKeyService({
      store,
      replicas: storage.storage.kind === 'etcd',
      dataDir: settings.folder,
      ...(settings.tls === undefined ? { insecureHttp: true } : { tls: settings.tls }),
      ...(settings.host === undefined ? {} : { host: settings.host }),
      port: settings.port,
      principals: config.principals,
      quotas: config.quotas,
      async reloadConfig() {
        await config.reload();
        return { config: path };
      },
      seeds,
      tokens: config.tokens,
      rootKeyProtectors: rootKeyProtectors(settings.rootKey ?? {}, settings.folder),
      ...(settings.healthPort === undefined ? {} : { health: { port: settings.healthPort } }),
      ...(settings.auditRetentionDays === undefined
        ? {}
        : { auditRetentionDays: settings.auditRetentionDays }),
      defaultRegion: settings.region,
      logger: settings.logger,
      registry: new Registry(),
      now: Date.now,
      randomBytes,
    }),
  );
}

/** SIGHUP reads the file at once. In a terminal the signal means that the terminal is gone, and ends the process as ever. */
function reloadOnHangUp(started: Started, config: ConfigFile, logger: Logger): void {
  if (process.stdin.isTTY) return;
  const onHangUp = (): void => {
    config.reload().catch((error: unknown) => {
      logger.error(
        { reason: error instanceof Error ? error.message : String(error) },
        'the configuration file cannot be used: the principals read before stay in force',
      );
    });
  };
  process.on('SIGHUP', onHangUp);
  started.add({ close: async () => void process.removeListener('SIGHUP', onHangUp) });
}
