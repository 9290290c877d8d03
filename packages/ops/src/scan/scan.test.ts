/** Goal: a scan counts every value once, in the right group. Method: values made by the transformers themselves, in a snapshot file. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeEncryptedObject } from '@waxseal/envelope';
import { openSnapshotSource } from '../sources/snapshot-source.js';
import { createStoredValueDescriber, describeStoredValue } from '../stored-value.js';
import { inTemporaryFolder, writeEtcdFile, type Change } from '../testing/etcd-file.js';
import { DEK_SOURCES_MAX, scan, type ScanResult } from './scan.js';

const PREFIX = Buffer.from('/registry/');

function kmsV2(keyId: string, source: string, data: string): Buffer {
  const body = encodeEncryptedObject({
    encryptedData: Buffer.from(data),
    keyId,
    encryptedDekSource: Buffer.from(source),
    encryptedDekSourceType: 1,
    annotations: {},
  });
  return Buffer.concat([Buffer.from('k8s:enc:kms:v2:waxseal:'), body]);
}

const kmsV1 = (wrapped: string): Buffer =>
  Buffer.concat([Buffer.from('k8s:enc:kms:v1:old:'), Buffer.from([0, wrapped.length]), Buffer.from(wrapped)]);

async function scanOf(changes: readonly Change[], prefix = PREFIX): Promise<ScanResult> {
  return inTemporaryFolder(async (folder) => {
    const path = join(folder, 'snapshot.db');
    await writeEtcdFile(path, changes, { checksum: true });
    const source = await openSnapshotSource(path);
    try {
      return await scan(source, { prefix });
    } finally {
      await source.close();
    }
  });
}

test('groups, bytes, revisions and DEK sources', async () => {
  const result = await scanOf([
    { key: '/registry/secrets/a/1', value: kmsV2('key-1', 's1', 'x') },
    { key: '/registry/secrets/a/2', value: kmsV2('key-1', 's1', 'yy') },
    { key: '/registry/secrets/a/3', value: kmsV2('key-1', 's2', 'z') },
    { key: '/registry/secrets/a/4', value: kmsV2('key-2', 's3', 'z') },
    { key: '/registry/secrets/b/5', value: Buffer.from('k8s:enc:aesgcm:v1:k:12345') },
    { key: '/registry/configmaps/b/6', value: Buffer.from('k8s\0plain') },
    { key: '/registry/deployments/b/7', value: Buffer.from('{}') },
    { key: '/registry/secrets/b/8', value: Buffer.from('k8s:enc:rot13:v1:k:') },
    { key: '/registry/secrets/b/9', value: Buffer.from('{}') },
    { key: '/registry/secrets/b/9', value: undefined },
    { key: '/registry/secrets', value: Buffer.from('{}') },
    { key: '/registry2/secrets/b/10', value: Buffer.from('{}') },
  ]);
  assert.deepEqual(
    result.groups.map(({ resource, provider, key, count, oldestRevision, newestRevision, dekSources }) => [
      resource,
      provider,
      key,
      count,
      oldestRevision,
      newestRevision,
      dekSources.map((source) => source.count),
    ]),
    [
      ['(other)', 'identity', '', 1, 12, 12, []],
      ['configmaps', 'identity', '', 1, 7, 7, []],
      ['deployments.apps', 'identity', '', 1, 8, 8, []],
      ['secrets', 'aesgcm', 'k', 1, 6, 6, []],
      ['secrets', 'kms-v2', 'key-1', 3, 2, 4, [2, 1]],
      ['secrets', 'kms-v2', 'key-2', 1, 5, 5, [1]],
      ['secrets', 'unknown', '', 1, 9, 9, []],
    ],
  );
  assert.equal(result.total, 9);
  assert.equal(result.plaintext, 3);
  assert.equal(result.groups[3]?.bytes, 25);
  assert.equal(
    result.bytes,
    result.groups.reduce((bytes, group) => bytes + group.bytes, 0),
  );
});

test('a group with more DEK sources than are told apart counts the rest', async () => {
  const result = await scanOf(
    Array.from({ length: DEK_SOURCES_MAX + 5 }, (_, index) => ({
      key: `/registry/secrets/a/${index}`,
      value: kmsV1(`wrapped ${index}`),
    })),
  );
  const [group] = result.groups;
  assert.equal(group?.dekSources.length, DEK_SOURCES_MAX);
  assert.equal(group?.moreDekSources, 5);
  assert.equal(group?.count, DEK_SOURCES_MAX + 5);
});

test('the describer for many values says what the one for one value says', () => {
  const describe = createStoredValueDescriber();
  const whole = kmsV2('key-1', 's1', 'ciphertext');
  const values = [
    whole,
    kmsV2('key-1', 's1', 'another ciphertext, longer'),
    kmsV2('key-2', 's1', 'ciphertext'),
    kmsV1('wrapped'),
    Buffer.from('k8s:enc:kms:v2:waxseal:'),
    Buffer.from('k8s:enc:kms:v2:'),
    ...Array.from({ length: whole.length }, (_, length) => whole.subarray(0, length)),
    ...Array.from({ length: whole.length }, (_, at) => {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      return flipped;
    }),
  ];
  for (const value of [...values, ...values]) {
    assert.deepEqual(describe(value), describeStoredValue(value), value.toString('hex'));
  }
});

test('a scan that is aborted stops', async () => {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, 'db');
    await writeEtcdFile(
      path,
      Array.from({ length: 3_000 }, (_, index) => ({
        key: `/registry/secrets/a/${index}`,
        value: Buffer.from('{}'),
      })),
    );
    const source = await openSnapshotSource(path);
    const seen: (number | undefined)[] = [];
    await assert.rejects(
      scan(source, {
        prefix: PREFIX,
        signal: AbortSignal.abort(),
        onProgress: (done, total) => seen.push(done, total),
      }),
      { code: 'interrupted' },
    );
    assert.equal(seen.length, 2);
    assert.ok((seen[0] ?? 0) >= 2_000);
    assert.equal(seen[1], 3_000);
    await source.close();
  });
});
