/**
 * Goal: a re-encrypted snapshot is the same database under another key. Method: a real etcd with history, deletions, a lease and keys of
 * others; its snapshot is re-encrypted, restored by the real etcdctl, and served by a real etcd again.
 */
import assert from 'node:assert/strict';
import { utimesSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createEncryptionAtRest, type EncryptionAtRest } from '@waxseal/encryption-config';
import { openEtcdStore, type KeyValue, type Store } from '@waxseal/storage';
import { openSnapshotSource } from '../sources/snapshot-source.js';
import { describeStoredValue } from '../stored-value.js';
import { startEtcd } from '../testing/etcd.js';
import { reencryptSnapshot, type ReencryptOptions, type ReencryptResult } from './reencrypt.js';

const COUNT = 300;
const everything = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) };
const secret = (index: number): string => `/registry/secrets/default/s${String(index).padStart(4, '0')}`;

let folder = '';
let from: EncryptionAtRest;
let to: EncryptionAtRest;
let original: readonly KeyValue[] = [];
let historyRevision = 0;

const at = (name: string): string => join(folder, name);

async function configuration(name: string, provider: string, byte: number): Promise<EncryptionAtRest> {
  const secretKey = Buffer.alloc(32, byte).toString('base64');
  await writeFile(
    at(name),
    `kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources:
  - resources: [secrets]
    providers: [{${provider}: {keys: [{name: k${byte}, secret: ${secretKey}}]}}, {identity: {}}]
`,
    { mode: 0o600 },
  );
  return createEncryptionAtRest({ file: at(name) });
}

async function put(store: Store, key: string, value: string | Buffer, lease = 0n): Promise<number> {
  const bytes = Buffer.from(value);
  const sealed = key.startsWith('/registry/secrets/')
    ? await from
        .transformerFor({ group: '', resource: 'secrets' })
        .transformToStorage(bytes, Buffer.from(key))
    : bytes;
  const done = await store.txn({
    compare: [],
    success: [{ kind: 'put', key: Buffer.from(key), value: sealed, lease }],
    failure: [],
  });
  return done.revision;
}

async function open(encryption: EncryptionAtRest, { key, value }: KeyValue): Promise<string> {
  const opened = await encryption
    .transformerFor({ group: '', resource: 'secrets' })
    .transformFromStorage(value, key);
  return opened.data.toString();
}

async function reencrypt(
  snapshot: string,
  output: string,
  options: Partial<ReencryptOptions> = {},
): Promise<ReencryptResult> {
  const source = await openSnapshotSource(at(snapshot));
  try {
    return await reencryptSnapshot(source.database.bolt, at(output), {
      prefix: '/registry',
      from,
      to,
      keepUnreadable: false,
      ...options,
    });
  } finally {
    await source.close();
  }
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxseal-reencrypt-'));
  from = await configuration('from.yaml', 'aescbc', 1);
  to = await configuration('to.yaml', 'secretbox', 2);
  const etcd = await startEtcd();
  try {
    const store = await openEtcdStore({
      endpoints: [etcd.endpoint],
      dialTimeoutMs: 30_000,
      requestTimeoutMs: 30_000,
    });
    for (let index = 0; index < COUNT; index++) await put(store, secret(index), `value ${index}`);
    historyRevision = await put(store, secret(0), 'middle');
    await put(store, secret(0), 'newest');
    const { id } = await store.leaseGrant(3_600);
    await put(store, '/registry/configmaps/default/plain', '{}', id);
    await put(store, 'compact_rev_key', '7');
    await put(store, secret(1), Buffer.alloc(20_000, 'x'));
    await store.txn({
      compare: [],
      success: [{ kind: 'delete', key: Buffer.from(secret(2)) }],
      failure: [],
    });
    original = (await store.range(everything)).kvs;
    await store.close();
    await etcd.etcdctl('role', 'add', 'reader');
    await etcd.etcdctl('user', 'add', 'ann', '--no-password');
    await etcd.etcdctl('user', 'grant-role', 'ann', 'reader');
    await etcd.saveSnapshot(at('snapshot.db'));
  } finally {
    await etcd.stop();
  }
});
after(async () => {
  await from.close();
  await to.close();
  await rm(folder, { recursive: true });
});

test('the same keys, revisions and leases come back from a real etcd, under the other key', async () => {
  const result = await reencrypt('snapshot.db', 'new.db');
  assert.deepEqual(result, {
    looked: COUNT + 6,
    reencrypted: COUNT + 4,
    decrypted: 0,
    copied: 1,
    tombstones: 1,
    unreadable: [],
    unreadablePast: 0,
    sizeBytes: (await stat(at('new.db'))).size,
  });
  assert.equal((await stat(at('new.db'))).mode & 0o777, 0o600);
  const etcd = await startEtcd(at('new.db'));
  try {
    const store = await openEtcdStore({
      endpoints: [etcd.endpoint],
      dialTimeoutMs: 30_000,
      requestTimeoutMs: 30_000,
    });
    const { kvs } = await store.range(everything);
    const withoutValue = ({ value: _value, ...rest }: KeyValue): Omit<KeyValue, 'value'> => rest;
    assert.deepEqual(kvs.map(withoutValue), original.map(withoutValue));
    const secrets = kvs.filter(({ key }) => key.toString().startsWith('/registry/secrets/'));
    assert.equal(secrets.length, COUNT - 1);
    for (const kv of secrets) {
      assert.deepEqual(describeStoredValue(kv.value), { provider: 'secretbox', key: 'k2' });
      const before = original.find(({ key }) => key.equals(kv.key));
      assert.ok(before);
      assert.equal(await open(to, kv), await open(from, before));
    }
    const others = kvs.filter(({ key }) => !key.toString().startsWith('/registry/secrets/'));
    assert.deepEqual(
      others.map(({ value }) => value.toString()),
      ['{}', '7'],
    );
    const [lease] = original.map((kv) => kv.lease).filter((each) => each !== 0n);
    assert.ok(lease !== undefined);
    assert.match(
      await etcd.etcdctl('lease', 'timetolive', lease.toString(16), '--keys'),
      /configmaps\/default\/plain/,
    );
    assert.match(await etcd.etcdctl('user', 'get', 'ann'), /Roles: reader/);
    assert.match(await etcd.etcdctl('alarm', 'list'), /^\s*$/);
    const status = async (name: string): Promise<readonly unknown[]> => {
      const text = await etcd.etcdctl('snapshot', 'status', at(name), '--write-out=json');
      const { revision, totalKey } = JSON.parse(text) as Readonly<Record<string, number>>;
      return [revision, totalKey];
    };
    assert.deepEqual(await status('new.db'), await status('snapshot.db'));
    const past = await store.get(Buffer.from(secret(0)), historyRevision);
    assert.ok(past.kv);
    assert.equal(await open(to, past.kv), 'middle');
    await store.close();
  } finally {
    await etcd.stop();
  }
});

test('there and back again is byte for byte the same plaintext', async () => {
  await reencrypt('snapshot.db', 'there.db');
  await reencrypt('there.db', 'back.db', { from: to, to: from });
  const source = await openSnapshotSource(at('back.db'));
  const texts: string[] = [];
  for await (const kv of source.live(Buffer.from('/registry/secrets/'))) texts.push(await open(from, kv));
  await source.close();
  assert.equal(texts.length, COUNT - 1);
  assert.ok(texts.includes('newest'));
});

test('values that do not open stop it, or are kept on request', async () => {
  const other = await configuration('other.yaml', 'aescbc', 3);
  try {
    const before = await readdir(folder);
    const refused = await reencrypt('snapshot.db', 'refused.db', { from: other });
    assert.equal(refused.sizeBytes, undefined);
    assert.equal(refused.unreadable.length, COUNT - 1);
    assert.equal(refused.unreadablePast, 4);
    assert.equal(refused.looked, refused.reencrypted + refused.copied + refused.tombstones + COUNT - 1 + 4);
    assert.deepEqual(await readdir(folder), before);
    const kept = await reencrypt('snapshot.db', 'kept.db', { from: other, keepUnreadable: true });
    assert.ok(kept.sizeBytes !== undefined);
    const source = await openSnapshotSource(at('kept.db'));
    const values: Buffer[] = [];
    for await (const { key, value } of source.live(Buffer.from('/registry/secrets/'))) {
      const was = original.find((kv) => kv.key.equals(key));
      assert.ok(was?.value.equals(value));
      values.push(value);
    }
    await source.close();
    assert.equal(values.length, COUNT - 1);
  } finally {
    await other.close();
  }
});

test('a name that is taken, a stop, and a configuration that cannot write leave nothing behind', async () => {
  await writeFile(at('taken.db'), 'mine');
  const before = await readdir(folder);
  await assert.rejects(reencrypt('snapshot.db', 'taken.db'), { code: 'invalid-option' });
  await assert.rejects(
    reencrypt('snapshot.db', 'none.db', { signal: AbortSignal.abort(new Error('enough')) }),
    /enough/,
  );
  const failing = {
    transformerFor: () => ({
      transformFromStorage: () => Promise.reject(new Error('not asked')),
      transformToStorage: () => Promise.reject(new Error('the KMS is away')),
    }),
  };
  await assert.rejects(reencrypt('snapshot.db', 'none.db', { to: failing }), {
    code: 'config-invalid',
    message: /cannot write \/registry\/.*the KMS is away/,
  });
  const changed = await openSnapshotSource(at('snapshot.db'));
  try {
    const onProgress = (): void => utimesSync(at('snapshot.db'), 1, 1);
    const beforeKept = (): void => changed.refuseChanged();
    await assert.rejects(reencrypt('snapshot.db', 'none.db', { onProgress, beforeKept }), {
      code: 'source-damaged',
      message: /it was changed while it was read/,
    });
  } finally {
    await changed.close();
  }
  assert.deepEqual(await readdir(folder), before);
});

test('a configuration without encryption is said to have decrypted', async () => {
  await writeFile(
    at('plain.yaml'),
    'kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources: [{resources: [secrets], providers: [{identity: {}}]}]\n',
  );
  const plain = await createEncryptionAtRest({ file: at('plain.yaml') });
  const result = await reencrypt('snapshot.db', 'plain.db', { to: plain });
  await plain.close();
  assert.equal(result.decrypted, COUNT + 3);
});
