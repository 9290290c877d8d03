/**
 * The state of a Store at one revision as an etcd 3.5 database file.
 *
 * A Store hands out its history only as watches do, so the file holds the state and no history: it is marked as compacted
 * at its revision, which is exactly what an etcd holds after compacting there. Buckets and their keys are etcd's
 * (`server/mvcc/buckets`); members are left out, because `etcdutl snapshot restore` writes new ones.
 */
import type { FileHandle } from 'node:fs/promises';
import { keyValueToWire } from '../etcd/messages.js';
import { KeyValue as WireKeyValue } from '../gen/etcd/kv.js';
import { Lease } from '../gen/etcd/lease.js';
import { StoreError, type Store } from '../store.js';
import { writeBoltFile, type BoltEntry } from './bolt-file.js';

/** Buckets etcd 3.5 creates in every database and expects to find. */
const emptyBuckets = ['alarm', 'auth', 'authRoles', 'authUsers', 'cluster', 'members', 'members_removed'];
const pageKeys = 1_000;
const everyKey = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) };

interface LiveKey {
  readonly key: Buffer;
  readonly modRevision: number;
}

/** Resolves with the file's size in bytes and the revision it holds. */
export async function writeSnapshotFile(
  store: Store,
  file: FileHandle,
): Promise<{ readonly sizeBytes: number; readonly revision: number }> {
  const { revision, keys } = await liveKeys(store);
  const sizeBytes = await writeBoltFile(file, [
    { name: 'key', entries: keyBucket(store, keys, revision) },
    { name: 'lease', entries: leaseBucket(store) },
    { name: 'meta', entries: metaBucket(revision) },
    ...emptyBuckets.map((name) => ({ name, entries: [] })),
  ]);
  return { sizeBytes, revision };
}

/** Every key, without values, in the order of etcd's `key` bucket: by revision. Memory grows with the keys' names. */
async function liveKeys(
  store: Store,
): Promise<{ readonly revision: number; readonly keys: readonly LiveKey[] }> {
  const keys: LiveKey[] = [];
  const first = await store.range({ ...everyKey, limit: pageKeys, keysOnly: true });
  const { revision } = first;
  for (let page = first; ;) {
    for (const { key, modRevision } of page.kvs) keys.push({ key, modRevision });
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) break;
    const next = Buffer.concat([last.key, Buffer.from([0])]);
    page = await store.range({ ...everyKey, key: next, revision, limit: pageKeys, keysOnly: true });
  }
  keys.sort((a, b) => a.modRevision - b.modRevision || a.key.compare(b.key));
  return { revision, keys };
}

async function* keyBucket(
  store: Store,
  keys: readonly LiveKey[],
  revision: number,
): AsyncGenerator<BoltEntry> {
  let main = 0;
  let sub = 0;
  for (const { key, modRevision } of keys) {
    sub = modRevision === main ? sub + 1 : 0;
    main = modRevision;
    const { kv } = await store.get(key, revision);
    if (kv === undefined) {
      throw new StoreError('corrupt', `A key was listed at revision ${revision} and is not there.`);
    }
    const value = Buffer.from(WireKeyValue.encode(keyValueToWire(kv)).finish());
    yield { key: revisionKey(main, sub), value };
  }
  // When the last change was a deletion, a tombstone carries the revision, so that tools see how far the data goes.
  if (main < revision) {
    const tombstone = { key: Buffer.from([0]), value: Buffer.alloc(0), createRevision: 0n, modRevision: 0n };
    const value = Buffer.from(WireKeyValue.encode({ ...tombstone, version: 0n, lease: 0n }).finish());
    yield { key: Buffer.concat([revisionKey(revision, 0), Buffer.from('t')]), value };
  }
}

async function* leaseBucket(store: Store): AsyncGenerator<BoltEntry> {
  const ids = [...(await store.leases())].map((id) => BigInt.asUintN(64, id));
  ids.sort((a, b) => (a < b ? -1 : 1));
  for (const id of ids) {
    const lease = await store.leaseTimeToLive(BigInt.asIntN(64, id), false);
    if (lease.ttlSeconds < 0) continue;
    const key = Buffer.alloc(8);
    key.writeBigUInt64BE(id);
    const message = {
      ID: BigInt.asIntN(64, id),
      TTL: BigInt(lease.grantedTtlSeconds),
      RemainingTTL: BigInt(lease.ttlSeconds),
    };
    yield { key, value: Buffer.from(Lease.encode(message).finish()) };
  }
}

function metaBucket(revision: number): BoltEntry[] {
  const index = Buffer.alloc(8);
  index.writeBigUInt64BE(BigInt(revision));
  const term = Buffer.alloc(8);
  term.writeBigUInt64BE(1n);
  return [
    { key: Buffer.from('consistent_index'), value: index },
    { key: Buffer.from('finishedCompactRev'), value: revisionKey(revision, 0) },
    { key: Buffer.from('scheduledCompactRev'), value: revisionKey(revision, 0) },
    { key: Buffer.from('term'), value: term },
  ];
}

/** main u64 ‖ `_` ‖ sub u64, big-endian, so that keys sort by revision. */
function revisionKey(main: number, sub: number): Buffer {
  const key = Buffer.alloc(17);
  key.writeBigUInt64BE(BigInt(main), 0);
  key.write('_', 8);
  key.writeBigUInt64BE(BigInt(sub), 9);
  return key;
}
