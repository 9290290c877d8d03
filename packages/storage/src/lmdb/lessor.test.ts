/** Leases across restarts: neither cut short nor granted anew. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WatchRecorder } from '../contract/harness.js';
import { openLmdbStore } from './open.js';
import { FakeClock } from './testing/fake-clock.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

const HOUR = 3600;

test('a lease kept alive does not expire, one that is not does', async (t) => {
  const clock = new FakeClock();
  const store = await openLmdbStore({ path: await temporaryDirectory(t), clock });
  const kept = await store.leaseGrant(10);
  const left = await store.leaseGrant(10);
  const put = (key: string, lease: bigint) =>
    store.txn({
      compare: [],
      success: [{ kind: 'put', key: Buffer.from(key), value: Buffer.from('1'), lease }],
      failure: [],
    });
  await put('kept', kept.id);
  await put('left', left.id);
  const recorder = new WatchRecorder();
  await store.watch({ key: Buffer.from('left') }, recorder).started;
  for (let i = 0; i < 5; i++) {
    await clock.advance(4000);
    assert.equal(await store.leaseKeepAlive(kept.id), 10);
  }
  await recorder.untilEvents(1);
  assert.equal(await store.leaseKeepAlive(left.id), 0);
  assert.ok((await store.get(Buffer.from('kept'))).kv);
  assert.equal((await store.leaseTimeToLive(kept.id, false)).ttlSeconds, 10);
  await store.close();
});

test('closing writes down what a long lease has left; the time the store is down does not count', async (t) => {
  const path = await temporaryDirectory(t);
  const clock = new FakeClock();
  let store = await openLmdbStore({ path, clock });
  const { id } = await store.leaseGrant(HOUR);
  await clock.advance(1000 * 1000);
  await store.close();
  await clock.advance(10 * HOUR * 1000);
  store = await openLmdbStore({ path, clock });
  assert.equal((await store.leaseTimeToLive(id, false)).ttlSeconds, HOUR - 1000);
  assert.equal((await store.leaseTimeToLive(id, false)).grantedTtlSeconds, HOUR);
  await store.leaseKeepAlive(id);
  await store.close();
  store = await openLmdbStore({ path, clock });
  assert.equal((await store.leaseTimeToLive(id, false)).ttlSeconds, HOUR);
  await store.close();
});

test('a lease due while the store was down expires after it is opened', async (t) => {
  const path = await temporaryDirectory(t);
  const clock = new FakeClock();
  let store = await openLmdbStore({ path, clock });
  const { id } = await store.leaseGrant(5);
  await store.txn({
    compare: [],
    success: [{ kind: 'put', key: Buffer.from('a'), value: Buffer.from('1'), lease: id }],
    failure: [],
  });
  await store.close();
  store = await openLmdbStore({ path, clock });
  const recorder = new WatchRecorder();
  await store.watch({ key: Buffer.from('a') }, recorder).started;
  await clock.advance(6000);
  const [event] = await recorder.untilEvents(1);
  assert.equal(event?.type, 'delete');
  assert.deepEqual(await store.leases(), []);
  await store.close();
});
