/**
 * Goal: afterwards no member's file holds what was compacted, and what is not done is said. Method: three real members, whose files are
 * searched byte for byte when they are dead; one with a small quota that runs full.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StoreError, type Store } from '../store.js';
import { startEtcdCluster, type EtcdCluster } from '../testing/etcd-cluster.js';
import { openEtcdStore } from './etcd-store.js';
import { shrinkEtcd, type ShrinkStep } from './maintenance.js';

const MARKER = 'open-sesame-0123456789';
const timeouts = { dialTimeoutMs: 20_000, requestTimeoutMs: 20_000 };

async function withStore<T>({ endpoints }: EtcdCluster, use: (store: Store) => Promise<T>): Promise<T> {
  const store = await openEtcdStore({ endpoints, ...timeouts });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

const put = (store: Store, key: string, value: string): Promise<unknown> =>
  store.txn({
    compare: [],
    success: [{ kind: 'put', key: Buffer.from(key), value: Buffer.from(value) }],
    failure: [],
  });

/** Writes the marker under many keys, then something else over it. */
async function writeAndReplace(cluster: EtcdCluster): Promise<number> {
  return withStore(cluster, async (store) => {
    for (const value of [MARKER.repeat(40), 'sealed'.repeat(100)]) {
      await Promise.all(
        Array.from({ length: 100 }, (_, index) => put(store, `/registry/secrets/a/${index}`, value)),
      );
    }
    return (await store.status()).revision;
  });
}

const holdsMarker = (dataDir: string): boolean =>
  readFileSync(join(dataDir, 'member/snap/db')).includes(MARKER);

test('every member is compacted on disk and defragmented, the leader last', async () => {
  const cluster = await startEtcdCluster({ members: 3 });
  try {
    const revision = await writeAndReplace(cluster);
    const steps: ShrinkStep[] = [];
    const result = await shrinkEtcd(
      { endpoints: cluster.endpoints, ...timeouts, onStep: (step) => steps.push(step) },
      revision,
    );
    assert.equal(result.revision, revision);
    assert.deepEqual(
      result.members.map(({ isLeader }) => isLeader),
      [false, false, true],
    );
    assert.deepEqual(result.members.map(({ name }) => name).toSorted(), ['m0', 'm1', 'm2']);
    assert.deepEqual(
      result.members.map(({ endpoint }) => endpoint).toSorted(),
      [...cluster.endpoints].toSorted(),
    );
    assert.ok(
      result.members.every(({ bytesBefore, bytesAfter }) => bytesBefore > bytesAfter && bytesAfter > 0),
    );
    assert.deepEqual([result.notNamed, result.alarms, result.disarmed], [[], [], []]);
    assert.deepEqual(
      steps.map(({ phase, done, total }) => `${phase} ${done}/${total}`),
      ['compact 0/3', 'compact 1/3', 'compact 2/3', 'defragment 0/3', 'defragment 1/3', 'defragment 2/3'],
    );

    // Again: nothing is left to do, and that is no error. Two addresses of one member are one.
    const [first = '', second = ''] = cluster.endpoints;
    const endpoints = [first, first.replace('127.0.0.1', 'localhost'), second];
    const again = await shrinkEtcd({ endpoints, ...timeouts }, revision);
    assert.equal(again.members.length, 2);
    assert.deepEqual(again.notNamed, ['m2']);

    await Promise.all(cluster.members.map((member) => member.kill()));
    for (const { dataDir } of cluster.members) assert.ok(!holdsMarker(dataDir), dataDir);
  } finally {
    await cluster.stop();
  }
});

test('a member that does not answer is known before anything is done', async () => {
  const cluster = await startEtcdCluster({ members: 3 });
  try {
    const revision = await writeAndReplace(cluster);
    await cluster.members[1]?.kill();
    await assert.rejects(
      shrinkEtcd({ endpoints: cluster.endpoints, ...timeouts, dialTimeoutMs: 500 }, revision),
      (error: unknown) => error instanceof StoreError && error.code === 'unavailable',
    );
    const { compactRevision } = await withStore(cluster, async (store) => {
      // The oldest revision is still there.
      await store.get(Buffer.from('/registry/secrets/a/0'), 2);
      return store.status();
    });
    assert.ok(compactRevision < revision);
  } finally {
    await cluster.stop();
  }
});

test('endpoints of two clusters are refused', async () => {
  const clusters = await Promise.all([startEtcdCluster(), startEtcdCluster()]);
  try {
    const endpoints = clusters.flatMap((cluster) => cluster.endpoints);
    await assert.rejects(shrinkEtcd({ endpoints, ...timeouts }, 1), {
      code: 'invalid-argument',
      message: /different clusters/,
    });
  } finally {
    await Promise.all(clusters.map((cluster) => cluster.stop()));
  }
});

test('an alarm stays on and is told; it is taken off when that is asked for', async () => {
  const cluster = await startEtcdCluster({ flags: ['--quota-backend-bytes=2097152'] });
  try {
    await withStore(cluster, async (store) => {
      const fill = async (): Promise<void> => {
        for (let index = 0; index < 100; index++) await put(store, '/registry/a', 'x'.repeat(100_000));
      };
      await assert.rejects(fill(), { code: 'no-space' });
      const { revision } = await store.status();
      const options = { endpoints: cluster.endpoints, ...timeouts };
      const left = await shrinkEtcd(options, revision);
      assert.deepEqual(left.alarms, [{ member: 'm0', alarm: 'NOSPACE' }]);
      assert.deepEqual(left.disarmed, []);
      await assert.rejects(put(store, '/registry/a', 'x'), { code: 'no-space' });
      const off = await shrinkEtcd({ ...options, disarm: true }, revision);
      assert.deepEqual(off.alarms, []);
      assert.deepEqual(off.disarmed, [{ member: 'm0', alarm: 'NOSPACE' }]);
      await put(store, '/registry/a', 'x');
    });
  } finally {
    await cluster.stop();
  }
});
