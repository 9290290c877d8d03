/**
 * The embedded store beside the bare `lmdb` package doing the same amount of durable work, in one run:
 *
 * - create: 64 writers, each waiting for its answer; a transaction that puts 600 bytes if the key is absent. The peer
 *   puts the same bytes, without condition, history or watch, and waits until they are on disk.
 * - update: the same 64 writers replace values by compare-and-swap.
 * - get 1 KiB; list 500 × 600 bytes, now and at a revision of the past. The peer reads the same from `lmdb`.
 *
 * Run: `npx tsc -b bench && node bench/dist/store.js [directory]`. The directory (default: the working directory's
 * `.bench-store`) says which disk is measured; it is removed afterwards. "main µs" is the time the main thread was busy
 * for each operation, which is what an API server beside it loses.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { open } from 'lmdb';
import { openLmdbStore, type Store } from '@waxseal/storage';
import { machine, table } from './support/machine.js';

const WRITERS = 64;
const VALUE_BYTES = 600;
const WRITE_SECONDS = 2;
const READ_BYTES = 1024;
const READS = 200_000;
const LIST_KEYS = 500;
const LISTS = 200;

interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly mainMicros: number;
}

const directory = resolve(process.argv[2] ?? '.bench-store');
const value = Buffer.alloc(VALUE_BYTES, 'sealed');
const keyOf = (kind: string, i: number): Buffer =>
  Buffer.from(`/registry/${kind}/default/${(i * 2654435761) % 2 ** 32}-${i}`);

await rm(directory, { recursive: true, force: true });
await mkdir(directory, { recursive: true, mode: 0o700 });
try {
  const store = await openLmdbStore({ path: join(directory, 'store') });
  const peer = open<Buffer, Buffer>({
    path: join(directory, 'peer'),
    overlappingSync: false,
    encoding: 'binary',
    keyEncoding: 'binary',
    mapSize: 2 ** 36,
  });
  console.log(`${machine()}\n`);

  const rows: string[][] = [];
  const compare = async (
    name: string,
    measure: () => Promise<Measured>,
    measurePeer: () => Promise<Measured>,
  ): Promise<void> => {
    const theirs = await measurePeer();
    const ours = await measure();
    rows.push(row(name, ours, theirs.perSecond), row(`  bare lmdb`, theirs, theirs.perSecond));
  };

  let created = 0;
  let put = 0;
  await compare(
    `create, ${WRITERS} writers`,
    () => writers(() => create(store, created++)),
    () => writers(() => peer.put(keyOf('secrets', put++), Buffer.from(value))),
  );
  let updated = 0;
  let replaced = 0;
  await compare(
    `update, ${WRITERS} writers`,
    () => writers(() => update(store, updated++ % Math.min(created, 5000))),
    () => writers(() => peer.put(keyOf('secrets', replaced++ % 5000), Buffer.from(value))),
  );
  await compare(
    'create, 1 writer',
    () => writers(() => create(store, created++), 1),
    () => writers(() => peer.put(keyOf('secrets', put++), Buffer.from(value)), 1),
  );

  const large = Buffer.alloc(READ_BYTES, 'sealed');
  for (let i = 0; i < LIST_KEYS; i++) {
    await store.txn({
      compare: [],
      success: [
        { kind: 'put', key: keyOf('read', i), value: large },
        { kind: 'put', key: keyOf('list', i), value },
      ],
      failure: [],
    });
    void peer.put(keyOf('read', i), large);
    await peer.put(keyOf('list', i), value);
  }
  const readKeys = Array.from({ length: LIST_KEYS }, (_, i) => keyOf('read', i));
  const readKey = (i: number): Buffer => readKeys[i % LIST_KEYS] as Buffer;
  await compare(
    `get ${READ_BYTES} B`,
    () => inTurn(READS, (i) => store.get(readKey(i))),
    () => inTurn(READS, async (i) => peer.getBinary(readKey(i))),
  );
  const list = { key: Buffer.from('/registry/list/'), rangeEnd: Buffer.from('/registry/list0') };
  const { revision } = await store.status();
  await create(store, created++);
  const listPeer = (): Promise<Measured> =>
    inTurn(LISTS, async () => [...peer.getRange({ start: list.key, end: list.rangeEnd })]);
  await compare(
    `list ${LIST_KEYS} × ${VALUE_BYTES} B`,
    () => inTurn(LISTS, () => store.range(list)),
    listPeer,
  );
  await compare(
    '  at a past revision',
    () => inTurn(LISTS, () => store.range({ ...list, revision })),
    listPeer,
  );

  console.log(table(['', 'per second', 'p50 ms', 'p99 ms', 'main µs', 'ratio'], rows));
  await store.close();
  await peer.close();
} finally {
  await rm(directory, { recursive: true, force: true });
}

async function create(store: Store, i: number): Promise<void> {
  const key = keyOf('secrets', i);
  const { succeeded } = await store.txn({
    compare: [{ key, target: 'modRevision', result: 'equal', number: 0 }],
    success: [{ kind: 'put', key, value }],
    failure: [{ kind: 'range', key }],
  });
  if (!succeeded) throw new Error('a key was there already');
}

async function update(store: Store, i: number): Promise<void> {
  const key = keyOf('secrets', i);
  const { kv } = await store.get(key);
  await store.txn({
    compare: [{ key, target: 'modRevision', result: 'equal', number: kv?.modRevision ?? 0 }],
    success: [{ kind: 'put', key, value }],
    failure: [{ kind: 'range', key }],
  });
}

/** Closed loops side by side for a fixed time. */
async function writers(write: () => Promise<unknown>, count = WRITERS): Promise<Measured> {
  const latencies: number[] = [];
  const start = performance.now();
  const busy = performance.eventLoopUtilization();
  const end = start + WRITE_SECONDS * 1000;
  await Promise.all(
    Array.from({ length: count }, async () => {
      for (let at = performance.now(); at < end;) {
        await write();
        const answered = performance.now();
        latencies.push(answered - at);
        at = answered;
      }
    }),
  );
  return measured(latencies, performance.now() - start, performance.eventLoopUtilization(busy).active);
}

/** One after the other. */
async function inTurn(count: number, operate: (i: number) => Promise<unknown>): Promise<Measured> {
  for (let i = 0; i < count / 10; i++) await operate(i);
  const latencies: number[] = [];
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    const at = performance.now();
    await operate(i);
    latencies.push(performance.now() - at);
  }
  const elapsed = performance.now() - start;
  return measured(latencies, elapsed, elapsed);
}

function measured(latencies: number[], elapsedMs: number, busyMs: number): Measured {
  latencies.sort((a, b) => a - b);
  const quantile = (q: number): number => latencies[Math.floor(latencies.length * q)] ?? NaN;
  return {
    perSecond: (latencies.length / elapsedMs) * 1000,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    mainMicros: (busyMs * 1000) / latencies.length,
  };
}

function row(name: string, { perSecond, p50Ms, p99Ms, mainMicros }: Measured, peer: number): string[] {
  return [
    name,
    Math.round(perSecond).toLocaleString('en'),
    p50Ms.toFixed(4),
    p99Ms.toFixed(4),
    mainMicros.toFixed(1),
    (perSecond / peer).toFixed(2),
  ];
}
