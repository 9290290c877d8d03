/** Goal: a Watch stream behaves as etcd's. Method: raw messages on one stream, and a client that does not read. */
import assert from 'node:assert/strict';
import { status, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { test, type TestContext } from 'node:test';
import {
  WatchCreateRequest_FilterType as FilterType,
  type WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../gen/etcd/rpc.js';
import { openEtcdStore } from '../etcd/etcd-store.js';
import type { EtcdFrontOptions } from './server.js';
import { prefixRangeEnd, type Store } from '../store.js';
import { startFrontClient, type FrontClient } from '../testing/front-client.js';

const empty = Buffer.alloc(0);
const prefix = Buffer.from('w/');
const all = { key: prefix, rangeEnd: prefixRangeEnd(prefix) };

test('watches of one stream have ids, and only the events of their ranges', async (t) => {
  const { store, stream } = await open(t);
  stream.create(all);
  stream.create({ key: Buffer.from('w/b') });
  stream.create({ ...all, watchId: 7n });
  await stream.until((seen) => seen.length === 3);
  assert.deepEqual(
    stream.seen.map(({ watchId, created, canceled }) => ({ watchId, created, canceled })),
    [0n, 1n, 7n].map((watchId) => ({ watchId, created: true, canceled: false })),
  );
  await put(store, 'w/a');
  const revision = await put(store, 'w/b');
  await stream.until((seen) => events(seen).length === 5);
  assert.deepEqual(
    stream.seen
      .filter((each) => each.events.length > 0)
      .map((each) => `${each.watchId} ${each.events.map((event) => event.kv?.key.toString()).join()}`)
      .toSorted(),
    ['0 w/a', '0 w/b', '1 w/b', '7 w/a', '7 w/b'],
  );
  assert.equal(stream.seen.at(-1)?.header?.revision, BigInt(revision));
});

test('a watch that cannot be is announced and cancelled in one answer, and the stream goes on', async (t) => {
  const { stream } = await open(t);
  stream.create({ ...all, watchId: 3n });
  stream.create({ ...all, watchId: 3n });
  stream.create({ key: Buffer.from('b'), rangeEnd: Buffer.from('a') });
  stream.create({ ...all, startRevision: -1n });
  stream.create(all);
  await stream.until((seen) => seen.length === 5);
  assert.deepEqual(
    stream.seen.map(({ watchId, created, canceled, cancelReason }) => [
      watchId,
      created,
      canceled,
      cancelReason,
    ]),
    [
      [3n, true, false, ''],
      [-1n, true, true, 'mvcc: duplicate watch ID provided on the WatchStream'],
      [-1n, true, true, 'mvcc: watcher range is empty'],
      [-1n, true, true, 'etcdserver: mvcc: required revision has been compacted'],
      [0n, true, false, ''],
    ],
  );
});

test('a cancelled watch says so and is silent; an unknown one is not answered', async (t) => {
  const { store, stream } = await open(t);
  stream.create(all);
  stream.create({ key: Buffer.from('w/x') });
  stream.send({ $case: 'cancelRequest', value: { watchId: 99n } });
  stream.send({ $case: 'cancelRequest', value: { watchId: 0n } });
  await stream.until((seen) => seen.length === 3);
  assert.deepEqual(
    [stream.seen[2]?.watchId, stream.seen[2]?.canceled, stream.seen[2]?.cancelReason],
    [0n, true, ''],
  );
  await put(store, 'w/x');
  await stream.until((seen) => events(seen).length === 1);
  assert.equal(stream.seen.at(-1)?.watchId, 1n);
});

test('filters leave out puts or deletes; previous values come when asked for', async (t) => {
  const { store, stream } = await open(t);
  stream.create({ ...all, filters: [FilterType.NOPUT], prevKv: true });
  stream.create({ ...all, filters: [FilterType.NODELETE] });
  await stream.until((seen) => seen.length === 2);
  await put(store, 'w/f', 'old');
  await store.txn({ compare: [], success: [{ kind: 'delete', key: Buffer.from('w/f') }], failure: [] });
  await stream.until((seen) => events(seen).length === 2);
  const byWatch = (id: bigint) => events(stream.seen.filter((each) => each.watchId === id));
  assert.equal(byWatch(0n)[0]?.prevKv?.value.toString(), 'old');
  assert.equal(byWatch(0n)[0]?.type, 1);
  assert.equal(byWatch(1n)[0]?.kv?.value.toString(), 'old');
  assert.equal(byWatch(1n)[0]?.prevKv, undefined);
});

test('a watch from a compacted revision is announced, then cancelled with the revision to go on from', async (t) => {
  const { store, stream } = await open(t);
  for (let i = 0; i < 5; i++) await put(store, 'w/c');
  await store.compact(5);
  stream.create({ ...all, startRevision: 2n });
  await stream.until((seen) => seen.length === 2);
  assert.equal(stream.seen[0]?.created, true);
  assert.equal(stream.seen[0]?.canceled, false);
  assert.deepEqual([stream.seen[1]?.canceled, stream.seen[1]?.compactRevision], [true, 5n]);
});

test('a progress request is answered once for the whole stream, after the events before it', async (t) => {
  const { store, stream } = await open(t);
  stream.create({ ...all, startRevision: 1n });
  stream.create({ key: Buffer.from('quiet') });
  await stream.until((seen) => seen.length === 2);
  const revision = await put(store, 'w/p');
  stream.send({ $case: 'progressRequest', value: {} });
  await stream.until((seen) => seen.some((each) => each.watchId === -1n));
  const answer = stream.seen.at(-1);
  assert.deepEqual([answer?.watchId, answer?.header?.revision], [-1n, BigInt(revision)]);
  assert.equal(events(stream.seen).length, 1);
});

test('a quiet watch made with progress_notify hears the revision by itself', async (t) => {
  const { store, stream } = await open(t, { progressNotifyIntervalMs: 20 });
  stream.create({ key: Buffer.from('quiet'), progressNotify: true });
  stream.create({ key: Buffer.from('quiet') });
  await stream.until((seen) => seen.length === 2);
  const revision = BigInt(await put(store, 'elsewhere'));
  await stream.until((seen) => seen.filter((each) => each.header?.revision === revision).length >= 2);
  assert.deepEqual([...new Set(stream.seen.slice(2).map((each) => each.watchId))], [0n]);
});

test('a large revision comes in fragments to who asked for them, whole to others', async (t) => {
  const { store, stream } = await open(t);
  const ops = Array.from({ length: 7 }, (_, i) => ({
    kind: 'put' as const,
    key: Buffer.from(`w/${i}`),
    value: Buffer.alloc(200_000, i),
  }));
  await store.txn({ compare: [], success: ops, failure: [] });
  stream.create({ ...all, prevKv: true, fragment: true });
  stream.create({ ...all, prevKv: true });
  await stream.until((seen) => seen.length === 2);
  await store.txn({ compare: [], success: ops, failure: [] });
  await stream.until((seen) => events(seen).length === 14);
  const fragmented = stream.seen.filter((each) => each.watchId === 0n && each.events.length > 0);
  assert.deepEqual(
    fragmented.map((each) => each.fragment),
    [true, true, false],
  );
  assert.equal(events(fragmented).length, 7);
  assert.equal(stream.seen.filter((each) => each.watchId === 1n && each.events.length === 7).length, 1);
});

test('a client that does not read holds no memory, and misses nothing once it reads', async (t) => {
  const { store, stream } = await open(t, { maxUnsentWatchBytes: 256 * 1024 });
  stream.create(all);
  await stream.until((seen) => seen.length === 1);
  stream.pause();
  const value = Buffer.alloc(100_000, 'x');
  const before = process.memoryUsage().arrayBuffers;
  const revisions: number[] = [];
  for (let i = 0; i < 400; i++) revisions.push(await put(store, `w/${i % 10}`, value));
  await new Promise((resolve) => setImmediate(resolve));
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 20_000_000, `40 MB were written and ${grown} bytes are held`);
  stream.resume();
  await stream.until((seen) => events(seen).length === 400);
  assert.deepEqual(
    events(stream.seen).map((event) => Number(event.kv?.modRevision)),
    revisions,
  );
});

test('closing the front ends streams with etcd’s "server stopped"; the client store then says so', async (t) => {
  const { client, stream } = await open(t);
  const remote = await openEtcdStore({
    endpoints: [client.served.front.endpoint],
    dialTimeoutMs: 5_000,
    requestTimeoutMs: 300,
  });
  t.after(() => remote.close());
  stream.create(all);
  await stream.until((seen) => seen.length === 1);
  await client.served.front.close();
  const error = await stream.ended;
  assert.deepEqual([error?.code, error?.details], [status.UNAVAILABLE, 'etcdserver: server stopped']);
  await assert.rejects(remote.get(prefix), { code: 'unavailable' });
});

/** One Watch stream and everything it answered. */
class TestStream {
  readonly seen: WatchResponse[] = [];
  readonly ended: Promise<ServiceError | undefined>;
  readonly #call: ClientDuplexStream<WatchRequest, WatchResponse>;
  #wake: (() => void) | undefined;

  constructor(call: ClientDuplexStream<WatchRequest, WatchResponse>) {
    this.#call = call;
    call.on('data', (response: WatchResponse) => {
      this.seen.push(response);
      this.#wake?.();
    });
    this.ended = new Promise((resolve) => {
      call.on('error', (error: ServiceError) => resolve(error));
      call.on('end', () => setImmediate(resolve, undefined));
    });
  }

  send(requestUnion: NonNullable<WatchRequest['requestUnion']>): void {
    this.#call.write({ requestUnion });
  }

  create(fields: Partial<WatchCreateRequest>): void {
    this.send({
      $case: 'createRequest',
      value: {
        key: empty,
        rangeEnd: empty,
        startRevision: 0n,
        progressNotify: false,
        filters: [],
        prevKv: false,
        watchId: 0n,
        fragment: false,
        ...fields,
      },
    });
  }

  async until(condition: (seen: readonly WatchResponse[]) => boolean): Promise<void> {
    while (!condition(this.seen)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  cancel(): void {
    this.#call.cancel();
  }
}

interface Opened {
  readonly client: FrontClient;
  readonly store: Store;
  readonly stream: TestStream;
}

async function open(t: TestContext, options: Partial<Omit<EtcdFrontOptions, 'store'>> = {}): Promise<Opened> {
  const client = await startFrontClient(options);
  const stream = new TestStream(client.watch());
  t.after(async () => {
    stream.cancel();
    await client.stop();
  });
  return { client, store: client.served.store, stream };
}

function events(seen: readonly WatchResponse[]) {
  return seen.flatMap((each) => each.events);
}

async function put(store: Store, key: string, value: string | Buffer = 'v'): Promise<number> {
  const op = { kind: 'put' as const, key: Buffer.from(key), value: Buffer.from(value) };
  return (await store.txn({ compare: [], success: [op], failure: [] })).revision;
}
