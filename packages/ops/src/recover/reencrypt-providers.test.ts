/**
 * Goal: from every provider to every other, for files of every release of etcd: the same objects at the same revisions, sealed the new way,
 * and nothing of the old file beside them. Method: random histories sealed by the real transformers in database files with something in
 * their unused bytes, re-encrypted, read by our reader, and searched byte for byte.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createEncryptionAtRest, type EncryptionAtRest } from '@waxseal/encryption-config';
import * as fc from 'fast-check';
import { openSnapshotSource, type SnapshotSource } from '../sources/snapshot-source.js';
import type { StoredKeyValue } from '../sources/source.js';
import { describeStoredValue, type ProviderKind } from '../stored-value.js';
import { etcdReleases, inTemporaryFolder, writeEtcdFile, type Change } from '../testing/etcd-file.js';
import { createMemoryKms } from '../testing/memory-kms.js';
import { reencryptSnapshot } from './reencrypt.js';

const SECRETS = { group: '', resource: 'secrets' };
const PROVIDERS = ['identity', 'aescbc', 'aesgcm', 'secretbox', 'kms-v1', 'kms-v2'] as const;
type Side = 'old' | 'new';
/** Of a page that is free. */
const LEFT_OVER = 'left over in a free page';
const PAGE_BYTES = 4096;

let folder = '';
const kms = { old: createMemoryKms(Buffer.alloc(32, 1)), new: createMemoryKms(Buffer.alloc(32, 2)) };
const made = new Map<string, EncryptionAtRest>();

const encryptionOf = (side: Side, provider: ProviderKind): EncryptionAtRest => {
  const found = made.get(`${side} ${provider}`);
  assert.ok(found);
  return found;
};

function entryOf(side: Side, provider: (typeof PROVIDERS)[number]): string {
  if (provider === 'identity') return '{"identity": {}}';
  if (provider.startsWith('kms')) {
    const apiVersion = provider === 'kms-v1' ? 'v1' : 'v2';
    return JSON.stringify({ kms: { apiVersion, name: side, endpoint: `unix:///${side}.sock` } });
  }
  const secret = Buffer.alloc(32, side).toString('base64');
  return JSON.stringify({ [provider]: { keys: [{ name: side, secret }] } });
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxseal-providers-'));
  for (const side of ['old', 'new'] as const) {
    kms[side].keyId = side;
    for (const provider of PROVIDERS) {
      const file = join(folder, `${side}-${provider}.yaml`);
      await writeFile(
        file,
        `kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources: [{resources: ['*.*'], providers: [${entryOf(side, provider)}]}]\n`,
      );
      const { connectors } = kms[side];
      made.set(`${side} ${provider}`, await createEncryptionAtRest({ file, kmsV1Enabled: true, connectors }));
    }
  }
});
after(async () => {
  for (const encryption of made.values()) await encryption.close();
  await rm(folder, { recursive: true });
});

const PREFIX = Buffer.from('/registry/');

async function all(source: SnapshotSource): Promise<readonly StoredKeyValue[]> {
  const found: StoredKeyValue[] = [];
  for await (const kv of source.live(PREFIX)) found.push(kv);
  for await (const kv of source.past(PREFIX)) found.push(kv);
  return found;
}

/** Every bucket but `key`, entry by entry. */
function othersOf({ database: { bolt } }: SnapshotSource): readonly string[] {
  return [...bolt.leaves(bolt.root)].flat().flatMap(({ key }) => {
    const bucket = bolt.bucket(key.toString());
    assert.ok(bucket);
    if (key.toString() === 'key') return [];
    return [...bolt.leaves(bucket)]
      .flat()
      .map((entry) => `${key.toString()} ${entry.key.toString('hex')} ${entry.value.toString('hex')}`);
  });
}

const randomChange = fc.record({
  name: fc.integer({ min: 0, max: 8 }),
  plaintext: fc.option(fc.uint8Array({ minLength: 16, maxLength: 3_000 }), { nil: undefined }),
});

for (const from of PROVIDERS) {
  test(`from ${from} to every provider`, async () => {
    for (const to of PROVIDERS) {
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...etcdReleases),
          fc.array(randomChange, { minLength: 1, maxLength: 12 }),
          async (release, changes) => inTemporaryFolder((path) => check(path, from, to, release, changes)),
        ),
        { seed: 11, numRuns: 4 },
      );
    }
  });
}

async function check(
  path: string,
  from: ProviderKind,
  to: ProviderKind,
  release: (typeof etcdReleases)[number],
  random: readonly { readonly name: number; readonly plaintext: Uint8Array | undefined }[],
): Promise<void> {
  const [oldFile, newFile] = [join(path, 'old.db'), join(path, 'new.db')];
  const reader = encryptionOf('old', from).transformerFor(SECRETS);
  const writer = encryptionOf('new', to).transformerFor(SECRETS);
  const record = { key: '/registry/ranges/serviceips', value: Buffer.from('k8s\0record') };
  const changes: Change[] = [record];
  for (const { name, plaintext } of random) {
    const key = `/registry/secrets/default/s${name}`;
    // Nothing random begins as a sealed value does.
    const data = plaintext && Buffer.concat([Buffer.from('{'), randomBytes(16), plaintext]);
    changes.push({ key, value: data && (await reader.transformToStorage(data, Buffer.from(key))) });
  }
  await writeEtcdFile(oldFile, changes, { release, compactRevision: 1 });
  const bytes = await readFile(oldFile);
  bytes.write(LEFT_OVER, 2 * PAGE_BYTES + 100);
  await writeFile(oldFile, bytes);

  const before = await openSnapshotSource(oldFile);
  const options = { prefix: '/registry', keepUnreadable: false };
  const sides = { from: encryptionOf('old', from), to: encryptionOf('new', to) };
  const result = await reencryptSnapshot(before.database.bolt, newFile, { ...options, ...sides });
  const puts = changes.filter(({ value }) => value !== undefined);
  assert.deepEqual(
    [result.looked, result.reencrypted, result.copied, result.tombstones, result.unreadable],
    [changes.length, puts.length - 1, 1, changes.length - puts.length, []],
  );
  const now = await openSnapshotSource(newFile);
  assert.ok(now.verified);
  assert.deepEqual([now.revision, now.compactRevision], [before.revision, before.compactRevision]);
  assert.deepEqual(othersOf(now), othersOf(before));
  const oldValues = await all(before);
  const newValues = await all(now);
  const withoutValue = ({ value: _value, ...rest }: StoredKeyValue): Omit<StoredKeyValue, 'value'> => rest;
  assert.deepEqual(newValues.map(withoutValue), oldValues.map(withoutValue));
  const newBytes = await readFile(newFile);
  assert.ok(!newBytes.includes(LEFT_OVER));
  for (const [index, { key, value }] of newValues.entries()) {
    const old = oldValues[index];
    assert.ok(old);
    if (key.toString() === record.key) {
      assert.deepEqual(value, record.value);
      continue;
    }
    assert.equal(describeStoredValue(value).provider, to);
    const plaintext = await reader.transformFromStorage(old.value, key);
    assert.deepEqual((await writer.transformFromStorage(value, key)).data, plaintext.data);
    // The nonce and the first bytes are unlike any others.
    const sealed = old.value.subarray(-32);
    assert.equal(newBytes.includes(sealed), from === 'identity' && to === 'identity');
    assert.equal(newBytes.includes(plaintext.data.subarray(1, 17)), to === 'identity');
  }
  await before.close();
  await now.close();
}
