/**
 * Goal: connecting fails clearly, what is safe is repeated, and what is not is not. Method: endpoints where nobody
 * listens, a member that answers with chosen errors, and a real etcd that wants certificates.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { status } from '@grpc/grpc-js';
import { test, type TestContext } from 'node:test';
import { StoreError, type Store } from '../store.js';
import { createTestAuthority } from '../testing/certificates.js';
import { startEtcdCluster } from '../testing/etcd-cluster.js';
import { program } from '../testing/programs.js';
import { startFailingEtcd, type FailingEtcd } from '../testing/failing-etcd.js';
import { etcdErrors, type EtcdError } from './errors.js';
import { openEtcdStore, type EtcdStoreOptions } from './etcd-store.js';

const key = Buffer.from('k');
const write = { compare: [], success: [{ kind: 'put', key, value: key } as const], failure: [] };
const readOnly = { compare: [], success: [{ kind: 'range', key } as const], failure: [] };

test('nobody listens: an error within the dial timeout names every endpoint', async () => {
  const error = await refusal({ endpoints: ['http://127.0.0.1:1', '127.0.0.1:2'], dialTimeoutMs: 400 });
  assert.equal(error.code, 'unavailable');
  assert.match(error.message, /within 400 ms/);
  assert.match(error.message, /http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/);
  assert.match(error.message, /127\.0\.0\.1:2: .*ECONNREFUSED/);
});

test('options that cannot work are refused before anything is dialled', async () => {
  const pem = Buffer.from('no pem');
  for (const options of [
    { endpoints: [] },
    { endpoints: ['ftp://127.0.0.1:2379'] },
    { endpoints: ['https://127.0.0.1:2379'], tls: { ca: pem, cert: pem } },
    { endpoints: ['https://127.0.0.1:2379'], tls: { ca: pem, cert: pem, key: pem } },
  ]) {
    assert.equal((await refusal(options)).code, 'invalid-argument');
  }
});

test('an etcd that wants certificates: a wrong CA and a missing certificate are told apart from a dead etcd', async (t) => {
  const authority = await createTestAuthority();
  const cluster = await startEtcdCluster({ authority });
  t.after(() => cluster.stop());
  const { endpoints } = cluster;
  const stranger = await createTestAuthority();
  const wrongCa = await refusal({ endpoints, tls: { ca: stranger.ca }, dialTimeoutMs: 500 });
  assert.equal(wrongCa.code, 'unavailable');
  assert.match(wrongCa.message, /certificate/);
  const strangers = { ca: authority.ca, ...(await stranger.client('stranger')) };
  assert.match(
    (await refusal({ endpoints, tls: strangers, dialTimeoutMs: 500 })).message,
    /client certificate/,
  );
  const store = await open(t, { endpoints, tls: cluster.tls, username: 'ann', password: 'secret' });
  assert.equal((await store.get(key)).kv, undefined, 'a password is not needed where authentication is off');
});

test('an etcd with users: the password gets a token, a wrong one is refused, an old token is replaced', async (t) => {
  const cluster = await startEtcdCluster();
  t.after(() => cluster.stop());
  const { endpoints } = cluster;
  const etcdctl = (...args: string[]) =>
    promisify(execFile)(program('etcdctl'), [`--endpoints=${endpoints[0]}`, ...args], {
      env: { ...process.env, ETCDCTL_API: '3' },
    });
  await etcdctl('user', 'add', 'root:pass');
  await etcdctl('user', 'grant-role', 'root', 'root');
  await etcdctl('auth', 'enable');
  const root = { endpoints, username: 'root', password: 'pass' };
  const store = await open(t, root);
  assert.equal((await store.txn(write)).succeeded, true);
  const ends: unknown[] = [];
  const watch = (): Promise<number> =>
    store.watch({ key }, { onEvents: () => {}, onEnd: (end) => ends.push(end) }).started;
  assert.ok((await watch()) > 0);
  assert.equal((await refusal({ ...root, password: 'wrong' })).code, 'unauthenticated');
  // etcd 3.5 refuses a stranger when it connects, 3.4 at its first request.
  const anonymous = open(t, { endpoints }).then((stranger) => stranger.txn(write));
  assert.equal((await rejection(anonymous)).code, 'unauthenticated');
  // etcd forgets every simple token when it restarts.
  await cluster.members[0]?.kill();
  cluster.members[0]?.start();
  assert.ok((await watch()) > 0);
  assert.equal((await store.get(key)).kv?.version, 1);
  assert.equal((await store.txn(write)).succeeded, true);
  assert.deepEqual(ends, []);
});

test('a user with rights on a prefix alone: a status that is for administrators is not needed', async (t) => {
  const { permissionDenied } = etcdErrors;
  const denied = { code: permissionDenied.grpcCode, details: permissionDenied.text };
  const member = await startFailingEtcd(() => undefined, denied);
  t.after(() => member.stop());
  const store = await open(t, { endpoints: [member.endpoint], readableKey: key });
  const { revision, sizeBytes, version } = await store.status();
  assert.deepEqual([revision, sizeBytes, version], [7, 0, 'etcd']);

  const other = await startFailingEtcd(() => denied, denied);
  t.after(() => other.stop());
  const stranger = await open(t, { endpoints: [other.endpoint], readableKey: key });
  const error = await rejection(stranger.status());
  assert.equal(error.code, 'unauthenticated');
  assert.match(error.message, /The user may not read these keys: grant/);
  assert.match((await rejection(stranger.txn(write))).message, /The user may not write this key: grant/);
});

test('a read is repeated until the member answers', async (t) => {
  const { store, member } = await failing(t, [
    etcdErrors.leaderChanged,
    etcdErrors.timeout,
    etcdErrors.noLeader,
  ]);
  assert.equal((await store.range({ key })).revision, 7);
  assert.equal(member.calls.range, 4);
});

test('a transaction that only reads is repeated', async (t) => {
  const { store, member } = await failing(t, [etcdErrors.leaderChanged]);
  assert.equal((await store.txn(readOnly)).succeeded, true);
  assert.equal(member.calls.txn, 2);
});

test('a write whose outcome is unknown is sent once, and the error says so', async (t) => {
  for (const [answer, code] of [
    [etcdErrors.leaderChanged, 'unavailable'],
    [etcdErrors.timeout, 'timeout'],
    [etcdErrors.connectionLost, 'timeout'],
    [{ ...etcdErrors.timeout, grpcCode: status.UNAVAILABLE, text: 'Connection dropped' }, 'unavailable'],
  ] as const) {
    const { store, member } = await failing(t, [answer]);
    const error = await rejection(store.txn(write));
    assert.equal(error.code, code);
    assert.match(error.message, /Whether the change was applied is unknown/);
    assert.equal(member.calls.txn, 1);
  }
});

test('a write that was certainly not begun is repeated', async (t) => {
  const { store, member } = await failing(t, [etcdErrors.noLeader, etcdErrors.tooManyRequests]);
  assert.equal((await store.txn(write)).revision, 8);
  assert.equal(member.calls.txn, 3);
});

test('an answer that stays the same is not asked for again', async (t) => {
  const { store, member } = await failing(t, [etcdErrors.requestTooLarge]);
  const error = await rejection(store.txn(write));
  assert.equal(error.code, 'too-large');
  assert.doesNotMatch(error.message, /unknown/);
  assert.equal(member.calls.txn, 1);
});

test('every etcd error becomes its code', async (t) => {
  for (const answer of Object.values(etcdErrors).filter((each) => each.outcome === 'final')) {
    const { store } = await failing(t, [answer]);
    const error = await rejection(store.txn(write));
    assert.equal(error.code, answer.storeCode, answer.text);
    assert.ok(error.message.includes(answer.text));
  }
});

test('a member that dies answers reads from another endpoint', async (t) => {
  const { store, member } = await failing(t, [], [await startFailingEtcd(() => undefined)]);
  assert.equal((await store.range({ key })).revision, 7);
  member.stop();
  for (let i = 0; i < 5; i++) assert.equal((await store.range({ key })).revision, 7);
});

test('a member that keeps its connection and stops answering is left for another', async (t) => {
  const silent = await startFailingEtcd(() => 'silence');
  const noLeader = { code: etcdErrors.noLeader.grpcCode, details: etcdErrors.noLeader.text };
  // Sends the read on until the silent member has had it.
  const good = await startFailingEtcd(() => (silent.calls.range === 0 ? noLeader : undefined));
  for (const each of [silent, good]) t.after(() => each.stop());
  const store = await open(t, { endpoints: [silent.endpoint, good.endpoint], requestTimeoutMs: 1_000 });
  assert.equal((await store.range({ key })).revision, 7);
  assert.equal(silent.calls.range, 1);
});

test('a write that is not answered is given up in time, and its outcome is unknown', async (t) => {
  const silent = await startFailingEtcd(() => 'silence');
  t.after(() => silent.stop());
  const store = await open(t, { endpoints: [silent.endpoint], requestTimeoutMs: 200 });
  const error = await rejection(store.txn(write));
  assert.equal(error.code, 'timeout');
  assert.match(error.message, /Whether the change was applied is unknown/);
  assert.equal(silent.calls.txn, 1);
});

/** A store on a member that answers the first calls with these errors, then as it should. */
async function failing(
  t: TestContext,
  answers: readonly Omit<EtcdError, 'outcome'>[],
  others: readonly FailingEtcd[] = [],
): Promise<{ readonly store: Store; readonly member: FailingEtcd }> {
  const member = await startFailingEtcd((_, call) => {
    const answer = answers[call - 1];
    return answer && { code: answer.grpcCode, details: answer.text };
  });
  for (const each of [member, ...others]) t.after(() => each.stop());
  const endpoints = [member, ...others].map((each) => each.endpoint);
  return { store: await open(t, { endpoints }), member };
}

async function open(t: TestContext, options: Partial<EtcdStoreOptions>): Promise<Store> {
  const store = await openEtcdStore({
    endpoints: [],
    dialTimeoutMs: 5_000,
    requestTimeoutMs: 5_000,
    ...options,
  });
  t.after(() => store.close());
  return store;
}

async function refusal(options: Partial<EtcdStoreOptions>): Promise<StoreError> {
  return rejection(
    openEtcdStore({ endpoints: [], dialTimeoutMs: 5_000, requestTimeoutMs: 5_000, ...options }),
  );
}

async function rejection(promise: Promise<unknown>): Promise<StoreError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof StoreError, String(error));
  return error;
}
