/**
 * Goal: losing a member loses nothing. Method: a real cluster of three whose members are killed one after the other
 * under a writer and a watch.
 */
import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import { WatchRecorder } from '../contract/harness.js';
import { prefixRangeEnd, StoreError, type Store } from '../store.js';
import { startEtcdCluster, type EtcdCluster } from '../testing/etcd-cluster.js';
import { openEtcdStore } from './etcd-store.js';

let cluster: EtcdCluster;
before(async () => {
  cluster = await startEtcdCluster({ members: 3 });
});
after(() => cluster.stop());

test('members die and come back: every acknowledged write is there and the watch saw each change once', async (t) => {
  // A write that a dying leader took is given up soon; etcd itself would keep it for 5 seconds.
  const store = await open(t, cluster.endpoints, 1_500);
  const prefix = Buffer.from('/failover/');
  const range = { key: prefix, rangeEnd: prefixRangeEnd(prefix) };
  const recorder = new WatchRecorder();
  const watch = store.watch(range, recorder);
  await watch.started;
  const acknowledged: string[] = [];
  const stop = new AbortController();
  const writer = (async () => {
    for (let i = 0; !stop.signal.aborted; i++) {
      const key = `/failover/${String(i).padStart(6, '0')}`;
      if (await written(store, key)) acknowledged.push(key);
    }
  })();
  for (const member of cluster.members) {
    const before = acknowledged.length;
    await member.kill();
    await until(() => acknowledged.length > before + 20);
    member.start();
    await until(() => acknowledged.length > before + 40);
  }
  stop.abort();
  await writer;
  const reader = await open(t);
  const { revision, kvs } = await reader.range(range);
  const present = new Set(kvs.map((kv) => kv.key.toString()));
  assert.deepEqual(
    acknowledged.filter((key) => !present.has(key)),
    [],
  );
  watch.requestProgress();
  await recorder.until(({ calls, progress }) =>
    [...calls.map((c) => c.revision), ...progress].some((r) => r >= revision),
  );
  assert.deepEqual(
    // A write given up may still be applied later.
    recorder.events
      .filter((event) => event.kv.modRevision <= revision)
      .map((event) => `${event.kv.key.toString()}@${event.kv.modRevision}`),
    kvs
      .toSorted((a, b) => a.modRevision - b.modRevision)
      .map((kv) => `${kv.key.toString()}@${kv.modRevision}`),
  );
  assert.deepEqual(recorder.ends, []);
});

test('without a majority a write says that its outcome is unknown or that it was refused, in time', async (t) => {
  const store = await open(t, cluster.endpoints, 1_500);
  const [one, two] = cluster.members;
  await one?.kill();
  await two?.kill();
  const error = await store.txn(put('/minority')).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  one?.start();
  two?.start();
  assert.ok(error instanceof StoreError);
  assert.ok(error.code === 'unavailable' || error.code === 'timeout', error.message);
  await until(() => written(store, '/majority'));
});

function put(key: string) {
  return {
    compare: [],
    success: [{ kind: 'put', key: Buffer.from(key), value: Buffer.from('v') } as const],
    failure: [],
  };
}

/** False when the outcome is unknown or the cluster was away. */
async function written(store: Store, key: string): Promise<boolean> {
  try {
    await store.txn(put(key));
    return true;
  } catch (error) {
    assert.ok(
      error instanceof StoreError && (error.code === 'unavailable' || error.code === 'timeout'),
      String(error),
    );
    return false;
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function open(
  t: TestContext,
  endpoints = cluster.endpoints,
  requestTimeoutMs = 10_000,
): Promise<Store> {
  const store = await openEtcdStore({ endpoints, dialTimeoutMs: 10_000, requestTimeoutMs });
  t.after(() => store.close());
  return store;
}
