/**
 * A cluster in one process for rotations: an embedded store, API servers that each have a configuration of their own in force, seal
 * what they write with it, and load the file when they are asked for metrics, some later than others.
 */
import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEncryptionAtRest, readEncryptionConfig, systemClock } from '@waxseal/encryption-config';
import { openLmdbStore, type Store } from '@waxseal/storage';
import { mayRetire } from '../../retire/retire.js';
import { parseKeyReference } from '../../retire/key-reference.js';
import { rewrap } from '../../rewrap/rewrap.js';
import { storeSource } from '../../sources/store-source.js';
import { createMemoryKms, type MemoryKms } from '../../testing/memory-kms.js';
import type { Source } from '../../sources/source.js';
import { hashConfiguration } from '../configuration-file.js';
import type { RotationTools } from '../rotation-tools.js';

const PREFIX = '/registry';
const SECRETS = { group: '', resource: 'secrets' };

export interface RotationWorld {
  readonly store: Store;
  readonly configFile: string;
  readonly stateFile: string;
  readonly servers: readonly string[];
  readonly tools: RotationTools;
  /** Behind every KMS provider of the configurations. */
  readonly kms: MemoryKms;
  /** The server writes an object as it would now. */
  write(server: string, name: string): Promise<void>;
  /** Every server reads every object. @throws when one cannot */
  readAll(): Promise<number>;
  stored(name: string): Promise<string>;
  close(): Promise<void>;
}

export interface WorldOptions {
  readonly config: string;
  /** How often a server is asked before it loads a changed file. */
  readonly lag?: (server: string) => number;
}

export async function createWorld({ config, lag = () => 0 }: WorldOptions): Promise<RotationWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'rotation-'));
  const configFile = join(folder, 'enc.yaml');
  const stateFile = join(folder, 'rotation.json');
  await writeFile(configFile, config, { mode: 0o640 });
  const store = await openLmdbStore({ path: join(folder, 'store') });
  const kms = createMemoryKms(randomBytes(32));
  const servers = ['https://one', 'https://two', 'https://three'];
  const inForce = (server: string): string => join(folder, `${server.slice('https://'.length)}.yaml`);
  for (const server of servers) await copyFile(configFile, inForce(server));
  const asked = new Map<string, number>();
  let nowMs = Date.parse('2026-01-01T00:00:00Z');

  const transform = async <T>(
    server: string,
    use: (
      transformer: ReturnType<Awaited<ReturnType<typeof createEncryptionAtRest>>['transformerFor']>,
    ) => Promise<T>,
  ): Promise<T> => {
    const encryption = await createEncryptionAtRest({
      file: inForce(server),
      kmsV1Enabled: true,
      connectors: kms.connectors,
    });
    try {
      return await use(encryption.transformerFor(SECRETS));
    } finally {
      await encryption.close();
    }
  };
  const keyOf = (name: string): Buffer => Buffer.from(`${PREFIX}/secrets/default/${name}`);
  const all = async () =>
    (await store.range({ key: Buffer.from(`${PREFIX}/`), rangeEnd: Buffer.from(`${PREFIX}0`) })).kvs;
  const openSource = async (): Promise<Source> => ({
    ...(await storeSource('the store', store)),
    close: () => Promise.resolve(),
  });

  return {
    store,
    configFile,
    stateFile,
    servers,
    kms,
    tools: {
      now: () => new Date(nowMs++),
      prefix: PREFIX,
      servers,
      proofTimeoutMs: 60_000,
      wait: (ms) => {
        nowMs += ms;
        return Promise.resolve();
      },
      openSource,
      async rewrap(file, checkpointFile) {
        const text = await readFile(file, 'utf8');
        const read = readEncryptionConfig(text, { fileName: file, kmsV1Enabled: true });
        const encryption = await createEncryptionAtRest({
          file,
          kmsV1Enabled: true,
          connectors: kms.connectors,
        });
        try {
          return await rewrap({
            store,
            transformerFor: (resource) => encryption.transformerFor(resource),
            resources: read.config?.resources.flatMap(({ resources }) => resources) ?? [],
            signal: new AbortController().signal,
            clock: systemClock,
            checkpoint: { path: checkpointFile, configHash: hashConfiguration(text) },
          });
        } finally {
          await encryption.close();
        }
      },
      mayRetire: (key, source) => mayRetire({ key: parseKeyReference(key), prefix: `${PREFIX}/`, source }),
      async fetchMetrics(server) {
        const file = hashConfiguration(await readFile(configFile));
        const own = hashConfiguration(await readFile(inForce(server)));
        const times = (asked.get(`${server} ${file}`) ?? 0) + 1;
        asked.set(`${server} ${file}`, times);
        if (file !== own && times > lag(server)) await copyFile(configFile, inForce(server));
        const hash = hashConfiguration(await readFile(inForce(server)));
        const id = hashConfiguration(server);
        return `apiserver_encryption_config_controller_last_config_info{apiserver_id_hash="${id}",hash="${hash}"} 1\n`;
      },
    },
    async write(server, name) {
      const value = await transform(server, async (transformer) =>
        transformer.transformToStorage(Buffer.from(`{"name":"${name}"}`), keyOf(name)),
      );
      await store.txn({ compare: [], success: [{ kind: 'put', key: keyOf(name), value }], failure: [] });
    },
    async readAll() {
      const kvs = await all();
      for (const server of servers) {
        await transform(server, async (transformer) => {
          for (const { key, value } of kvs) await transformer.transformFromStorage(value, key);
        });
      }
      return kvs.length;
    },
    async stored(name) {
      return (await store.get(keyOf(name))).kv?.value.toString('latin1') ?? '';
    },
    async close() {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
}
