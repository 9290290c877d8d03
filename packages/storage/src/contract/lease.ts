/** Leases: keys that go when nobody keeps them alive. */
import assert from 'node:assert/strict';
import { bytes, errorCode, suffixes, WatchRecorder, type ContractTest } from './harness.js';

/** The shortest TTL a real etcd grants with its default election timeout. */
const SHORT_TTL_SECONDS = 2;

export function leaseContract(test: ContractTest): void {
  test('a lease is granted with an id of its own or the one asked for', async ({ store }) => {
    const chosen = await store.leaseGrant(60);
    assert.ok(chosen.id > 0n);
    assert.equal(chosen.ttlSeconds, 60);
    const id = 0x7edc_ba98_7654_3210n - BigInt(Math.floor(Math.random() * 2 ** 40));
    assert.deepEqual(await store.leaseGrant(90, id), { id, ttlSeconds: 90 });
    await assert.rejects(store.leaseGrant(60, id), errorCode('lease-exists'));
    const ids = await store.leases();
    assert.ok(ids.includes(id) && ids.includes(chosen.id));
    await store.leaseRevoke(id);
    await store.leaseRevoke(chosen.id);
    assert.ok(!(await store.leases()).includes(id));
  });

  test('the time to live names TTL and keys', async ({ store, run, key }) => {
    const { id } = await store.leaseGrant(60);
    await run(
      { kind: 'put', key: key('a'), value: bytes('1'), lease: id },
      { kind: 'put', key: key('b'), value: bytes('1'), lease: id },
      { kind: 'put', key: key('c'), value: bytes('1') },
    );
    const status = await store.leaseTimeToLive(id, true);
    assert.equal(status.id, id);
    assert.equal(status.grantedTtlSeconds, 60);
    assert.ok(status.ttlSeconds > 50 && status.ttlSeconds <= 60);
    assert.deepEqual(
      status.keys.map((each) => each.toString('latin1')).toSorted(),
      [key('a'), key('b')].map((each) => each.toString('latin1')),
    );
    assert.deepEqual((await store.leaseTimeToLive(id, false)).keys, []);
    await store.leaseRevoke(id);
    assert.equal((await store.leaseTimeToLive(id, true)).ttlSeconds, -1);
  });

  test('a lease revoked takes its keys along in one revision', async ({ store, run, key, all, put }) => {
    const { id } = await store.leaseGrant(60);
    await run(
      { kind: 'put', key: key('b'), value: bytes('1'), lease: id },
      { kind: 'put', key: key('a'), value: bytes('1'), lease: id },
    );
    await put('free');
    const recorder = new WatchRecorder();
    const before = await store.watch(all, recorder).started;
    await store.leaseRevoke(id);
    const events = await recorder.untilEvents(2);
    assert.deepEqual(
      events.map((event) => [event.type, ...suffixes([event.kv]), event.kv.modRevision]),
      [
        ['delete', 'a', before + 1],
        ['delete', 'b', before + 1],
      ],
    );
    assert.deepEqual(suffixes((await store.range(all)).kvs), ['free']);
    await assert.rejects(store.leaseRevoke(id), errorCode('lease-not-found'));
  });

  test('a lease without keys takes no revision', async ({ store, put }) => {
    const revision = await put('a');
    const { id } = await store.leaseGrant(60);
    await store.leaseRevoke(id);
    assert.equal((await store.status()).revision, revision);
  });

  test('a key belongs to the lease of its last put', async ({ store, run, key, get }) => {
    const first = await store.leaseGrant(60);
    const second = await store.leaseGrant(60);
    const put = (suffix: string, lease: bigint) =>
      run({ kind: 'put', key: key(suffix), value: bytes('1'), lease });
    await put('moved', first.id);
    await put('moved', second.id);
    await put('freed', first.id);
    await put('freed', 0n);
    await put('deleted', first.id);
    await run({ kind: 'delete', key: key('deleted') });
    await run({ kind: 'put', key: key('deleted'), value: bytes('again') });
    assert.deepEqual((await store.leaseTimeToLive(first.id, true)).keys, []);
    await store.leaseRevoke(first.id);
    assert.ok((await get('moved')) && (await get('freed')) && (await get('deleted')));
    assert.equal((await get('moved'))?.lease, second.id);
    await store.leaseRevoke(second.id);
    assert.equal(await get('moved'), undefined);
  });

  test('a put with a lease that does not exist is refused', async ({ run, key, get }) => {
    await assert.rejects(
      run({ kind: 'put', key: key('a'), value: bytes('1'), lease: 0x1234_5678_9abcn }),
      errorCode('lease-not-found'),
    );
    assert.equal(await get('a'), undefined);
  });

  test('keeping a lease alive renews it; a lease that is gone answers 0', async ({ store }) => {
    const { id } = await store.leaseGrant(60);
    assert.equal(await store.leaseKeepAlive(id), 60);
    await store.leaseRevoke(id);
    assert.equal(await store.leaseKeepAlive(id), 0);
  });

  test('a lease that expires takes its keys along', async ({ store, run, key, all, traits, get }) => {
    const { id, ttlSeconds } = await store.leaseGrant(SHORT_TTL_SECONDS);
    assert.ok(ttlSeconds >= SHORT_TTL_SECONDS);
    await run(
      { kind: 'put', key: key('a'), value: bytes('1'), lease: id },
      { kind: 'put', key: key('b'), value: bytes('1'), lease: id },
    );
    const recorder = new WatchRecorder();
    await store.watch(all, recorder).started;
    await traits.passTime?.(ttlSeconds + 1);
    const events = await recorder.untilEvents(2);
    assert.deepEqual(
      events.map((event) => event.type),
      ['delete', 'delete'],
    );
    assert.equal(events[0]?.kv.modRevision, events[1]?.kv.modRevision);
    assert.equal(await get('a'), undefined);
    assert.equal((await store.leaseTimeToLive(id, false)).ttlSeconds, -1);
    assert.equal(await store.leaseKeepAlive(id), 0);
  });
}
