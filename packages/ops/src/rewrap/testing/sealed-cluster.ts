/** Values in a store, sealed as an EncryptionConfiguration says, and what is in them. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Clock,
  createEncryptionAtRest,
  type EncryptionAtRest,
  systemClock,
} from '@waxseal/encryption-config';
import { prefixRangeEnd, type Store } from '@waxseal/storage';
import { createMemoryKms } from '../../testing/memory-kms.js';

const kms = createMemoryKms(randomBytes(32));
const secret = (byte: number): string => Buffer.alloc(32, byte).toString('base64');

/** Providers as a configuration lists them. */
const providers = {
  identity: 'identity: {}',
  aescbc: `aescbc: { keys: [{ name: cbc, secret: ${secret(1)} }] }`,
  /** Under the name of the other, as after a key was put back from the wrong backup. */
  otherAescbc: `aescbc: { keys: [{ name: cbc, secret: ${secret(3)} }] }`,
  secretbox: `secretbox: { keys: [{ name: box, secret: ${secret(2)} }] }`,
  kmsV1: 'kms: { apiVersion: v1, name: one, endpoint: unix:///one.sock }',
  kmsV2: 'kms: { apiVersion: v2, name: two, endpoint: unix:///two.sock }',
} as const;

export type ProviderName = keyof typeof providers;

/** The KMS behind every encryption of this process. */
export const sharedKms = kms;

const secrets = { group: '', resource: 'secrets' } as const;

/** @param names in order: the first one writes */
export async function encryptionWith(
  names: readonly ProviderName[],
  options: { readonly clock?: Clock; readonly resources?: string } = {},
): Promise<EncryptionAtRest> {
  const folder = mkdtempSync(join(tmpdir(), 'waxseal-rewrap-'));
  const file = join(folder, 'config.yaml');
  const lines = [
    'apiVersion: apiserver.config.k8s.io/v1',
    'kind: EncryptionConfiguration',
    'resources:',
    `  - resources: ${options.resources ?? '[secrets]'}`,
    '    providers:',
    ...names.map((name) => `      - ${providers[name]}`),
  ];
  writeFileSync(file, lines.join('\n'), { mode: 0o600 });
  try {
    const { clock = systemClock } = options;
    return await createEncryptionAtRest({ file, kmsV1Enabled: true, connectors: kms.connectors, clock });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export async function putSealed(
  store: Store,
  encryption: EncryptionAtRest,
  name: string,
  content: string | Buffer,
  lease?: bigint,
): Promise<void> {
  const key = Buffer.from(name);
  const value = await encryption
    .transformerFor(secrets)
    .transformToStorage(typeof content === 'string' ? Buffer.from(content) : content, key);
  await store.txn({ compare: [], success: [{ kind: 'put', key, value, lease }], failure: [] });
}

/** `count` secrets of different sizes. @returns what is in each, by key */
export async function fill(
  store: Store,
  encryption: EncryptionAtRest,
  root: string,
  count: number,
): Promise<Map<string, string>> {
  const contents = new Map<string, string>();
  for (let i = 0; i < count; i++) {
    contents.set(
      `${root}/secrets/ns-${i % 3}/s-${i}`,
      `{"kind":"Secret","n":${i},"pad":"${'x'.repeat(i % 700)}"}`,
    );
  }
  await Promise.all([...contents].map(([name, text]) => putSealed(store, encryption, name, text)));
  return contents;
}

/** What an API server with this configuration would serve, by key. @throws when it cannot open one */
export async function openAll(
  store: Store,
  encryption: EncryptionAtRest,
  root: string,
): Promise<Map<string, string>> {
  const prefix = Buffer.from(`${root}/secrets/`);
  const { kvs } = await store.range({ key: prefix, rangeEnd: prefixRangeEnd(prefix) });
  const contents = new Map<string, string>();
  for (const { key, value } of kvs) {
    const opened = await encryption.transformerFor(secrets).transformFromStorage(value, key);
    contents.set(key.toString(), opened.data.toString());
  }
  return contents;
}
