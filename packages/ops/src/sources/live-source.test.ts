/**
 * Goal: a live etcd, its snapshot, its database file and the embedded store tell the same. Method: one history written to a real etcd and to
 * an LMDB store, read every way, before and after compaction.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openEtcdStore, openLmdbStore, type Store } from '@waxseal/storage';
import { startEtcd, type RunningEtcd } from '../testing/etcd.js';
import { inTemporaryFolder } from '../testing/etcd-file.js';
import { openDataDirSource } from './data-dir-source.js';
import { openEtcdSource } from './etcd-source.js';
import { openSnapshotSource } from './snapshot-source.js';
import type { Source } from './source.js';

const PREFIX = Buffer.from('/registry/');
let etcd: RunningEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd.stop());

const openStore = (): Promise<Store> =>
  openEtcdStore({ endpoints: [etcd.endpoint], dialTimeoutMs: 5_000, requestTimeoutMs: 5_000 });

/** More keys than one page holds, replaced and deleted ones, and one outside the prefix. */
async function writeHistory(store: Store): Promise<number> {
  const key = (index: number): Buffer => Buffer.from(`/registry/secrets/default/s${index}`);
  for (let start = 0; start < 1_500; start += 100) {
    const success = Array.from({ length: 100 }, (_, index) => ({
      kind: 'put' as const,
      key: key(start + index),
      value: Buffer.alloc(300, `first ${start + index}`),
    }));
    await store.txn({ compare: [], success, failure: [] });
  }
  const put = (at: Buffer, value: string): Promise<unknown> =>
    store.txn({
      compare: [],
      success: [{ kind: 'put', key: at, value: Buffer.from(value) }],
      failure: [],
    });
  await put(Buffer.from('compact_rev_key'), '1');
  await put(key(3), 'second');
  const compactAt = (await store.status()).revision;
  await put(key(3), 'third');
  await store.txn({ compare: [], success: [{ kind: 'delete', key: key(4) }], failure: [] });
  await put(key(4), 'again');
  await store.txn({
    compare: [],
    success: [
      { kind: 'delete', key: key(5) },
      { kind: 'put', key: key(6), value: Buffer.alloc(1_400_000, 'large') },
    ],
    failure: [],
  });
  return compactAt;
}

async function read(source: Source): Promise<{
  readonly revision: number;
  readonly compactRevision: number;
  readonly live: string[];
  readonly past: string[];
}> {
  const live: string[] = [];
  const past: string[] = [];
  for await (const kv of source.live(PREFIX)) {
    live.push(
      `${kv.key.toString()} ${kv.createRevision} ${kv.modRevision} ${kv.version} ${kv.value.toString()}`,
    );
  }
  for await (const kv of source.past(PREFIX)) {
    past.push(`${kv.key.toString()} ${kv.modRevision} ${kv.value.toString()} < ${kv.supersededBy}`);
  }
  const { revision, compactRevision } = source;
  await source.close();
  return { revision, compactRevision, live: live.toSorted(), past: past.toSorted() };
}

test('every way to the same values tells the same', async () => {
  await inTemporaryFolder(async (folder) => {
    const store = await openStore();
    const compactAt = await writeHistory(store);
    const liveBefore = await read(await openEtcdSource({ endpoints: [etcd.endpoint] }));
    assert.equal(liveBefore.live.length, 1_499);
    assert.deepEqual(
      liveBefore.past.map((text) => text.slice(0, 40).trimEnd()),
      [
        '/registry/secrets/default/s3 18 second <',
        '/registry/secrets/default/s3 2 first 3fi',
        '/registry/secrets/default/s4 2 first 4fi',
        '/registry/secrets/default/s5 2 first 5fi',
        '/registry/secrets/default/s6 2 first 6fi',
      ],
    );
    const snapshot = join(folder, 'snapshot.db');
    await etcd.saveSnapshot(snapshot);
    assert.deepEqual(await read(await openSnapshotSource(snapshot)), liveBefore);

    const dataDir = join(folder, 'data');
    mkdirSync(dataDir, { mode: 0o700 });
    const lmdb = await openLmdbStore({ path: join(dataDir, 'api') });
    await writeHistory(lmdb);
    await assert.rejects(openDataDirSource(dataDir), {
      code: 'source-unreadable',
      message: /is in use by a server.*--etcd/,
    });
    await lmdb.close();
    assert.deepEqual(await read(await openDataDirSource(dataDir)), liveBefore);

    await store.compact(compactAt);
    await store.close();
    const liveAfter = await read(await openEtcdSource({ endpoints: [etcd.endpoint] }));
    assert.equal(liveAfter.compactRevision, compactAt);
    assert.equal(liveAfter.past.length, 4);
    assert.deepEqual(liveAfter.live, liveBefore.live);
  });
});

test('what is not there says what to do', async () => {
  await assert.rejects(openEtcdSource({ endpoints: ['http://127.0.0.1:1'], dialTimeoutMs: 300 }), {
    code: 'source-unreadable',
    message: /^etcd http:\/\/127\.0\.0\.1:1 cannot be read: /,
  });
  await inTemporaryFolder(async (folder) => {
    await assert.rejects(openDataDirSource(folder), {
      code: 'source-unreadable',
      message: /holds no store.*waxseal up/,
    });
    mkdirSync(join(folder, 'member', 'snap'), { recursive: true });
    writeFileSync(join(folder, 'member', 'snap', 'db'), '');
    await assert.rejects(openDataDirSource(folder), {
      code: 'source-unreadable',
      message: /etcd member: .* --snapshot .*member\/snap\/db.* --data-dir-etcd/,
    });
  });
});

test('a scan that stops early leaves nothing behind', async () => {
  const source = await openEtcdSource({ endpoints: [etcd.endpoint] });
  for await (const { key } of source.live(PREFIX)) {
    assert.ok(key.length > 0);
    break;
  }
  for await (const { key } of source.past(PREFIX)) {
    assert.ok(key.length > 0);
    break;
  }
  await source.close();
});
