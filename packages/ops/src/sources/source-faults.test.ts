/**
 * Goal: reading a live source survives a compaction, ends at once when it is aborted, and says what a user's rights do not allow. Method: a real
 * store that is compacted, never answers, or refuses while it is read.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openLmdbStore, type RangeRequest, type Store, StoreError } from '@waxseal/storage';
import { refuseWrongPrefix } from './prefix-check.js';
import { againWhenCompacted } from './store-reading.js';
import { storeSource, type StoreSourceOptions } from './store-source.js';

const PREFIX = Buffer.from('/registry/');
/** More than the first page holds. */
const KEYS = 2_500;
let folder: string;
let store: Store;

const keyOf = (index: number): Buffer => Buffer.from(`/registry/secrets/a/${String(index).padStart(6, '0')}`);
const put = (key: Buffer, value: string): Promise<unknown> =>
  store.txn({ compare: [], success: [{ kind: 'put', key, value: Buffer.from(value) }], failure: [] });

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ops-faults-'));
  store = await openLmdbStore({ path: folder });
  const success = Array.from({ length: KEYS }, (_, i) => ({
    kind: 'put' as const,
    key: keyOf(i),
    value: Buffer.from('first'),
  }));
  await store.txn({ compare: [], success, failure: [] });
});
after(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

/** The store, with ranges that somebody else gets in front of. */
function storeWith(range: (request: RangeRequest) => ReturnType<Store['range']>): Store {
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'range') return range;
      const member: unknown = Reflect.get(target, name);
      return typeof member === 'function' ? (member.bind(target) as unknown) : member;
    },
  });
}

/** Compacts everything before now in front of each of these ranges. */
function compactedBefore(ranges: readonly number[]): Store {
  let count = 0;
  return storeWith(async (request) => {
    if (ranges.includes(++count)) {
      await put(keyOf(0), `written before range ${count}`);
      await put(keyOf(KEYS - 1), `written before range ${count}`);
      await store.compact((await store.status()).revision);
    }
    return store.range(request);
  });
}

async function readAll(reading: Store, options?: StoreSourceOptions): Promise<readonly string[]> {
  const source = await storeSource('etcd', reading, options);
  const keys: string[] = [];
  for await (const { key } of source.live(PREFIX)) keys.push(key.toString());
  return keys;
}

const all = Array.from({ length: KEYS }, (_, i) => keyOf(i).toString());

test('a revision that is compacted half-way is refused, or the rest is read at the newest one', async () => {
  await assert.rejects(readAll(compactedBefore([2])), {
    code: 'source-unreadable',
    message: /^etcd was compacted beyond the revision .* run it again/,
  });
  assert.deepEqual(await readAll(compactedBefore([2, 4]), { whenCompacted: 'go-on' }), all);
});

test('a whole reading is done again, three times at most', async () => {
  const twice = compactedBefore([2, 4]);
  let readings = 0;
  const keys = await againWhenCompacted(() => {
    readings++;
    return readAll(twice);
  });
  assert.deepEqual([keys, readings], [all, 3]);

  const always = compactedBefore(Array.from({ length: 100 }, (_, i) => i));
  let attempts = 0;
  const endless = againWhenCompacted(() => {
    attempts++;
    return readAll(always);
  });
  await assert.rejects(endless, { code: 'source-unreadable', message: /was compacted/ });
  assert.equal(attempts, 3);
  await assert.rejects(
    againWhenCompacted(() => Promise.reject(new Error('something else'))),
    /something else/,
  );
});

test('aborted while nobody answers, reading ends at once', async () => {
  const silent = storeWith(() => new Promise(() => undefined));
  const stop = new AbortController();
  const reading = readAll(silent, { signal: stop.signal });
  setImmediate(() => stop.abort());
  await assert.rejects(reading, { code: 'interrupted' });
  await assert.rejects(readAll(store, { signal: AbortSignal.abort() }), { code: 'interrupted' });
});

test('history that never comes is waited for with a bound, and not when it is aborted', async () => {
  await put(keyOf(1), 'second');
  const watchOfNobody = new Proxy(store, {
    get: (target, name) => {
      if (name === 'watch')
        return () => ({
          started: new Promise(() => undefined),
          cancel: () => undefined,
          requestProgress: () => undefined,
        });
      const member: unknown = Reflect.get(target, name);
      return typeof member === 'function' ? (member.bind(target) as unknown) : member;
    },
  });
  const history = async (options: StoreSourceOptions): Promise<number> => {
    const source = await storeSource('etcd', watchOfNobody, options);
    let values = 0;
    for await (const { key } of source.past(PREFIX)) values += key.length;
    return values;
  };
  await assert.rejects(history({ silenceMs: 50 }), {
    code: 'source-unreadable',
    message: 'etcd cannot be read: nothing was heard of it for 0.05 s',
  });
  const stop = new AbortController();
  const reading = history({ signal: stop.signal });
  setImmediate(() => stop.abort());
  await assert.rejects(reading, { code: 'interrupted' });
});

test('who may read the prefix alone is told that a wrong one cannot be seen', async () => {
  const restricted = storeWith(async (request) => {
    if (request.key.toString().startsWith('/kubernetes/')) return store.range(request);
    throw new StoreError('unauthenticated', 'etcd at x: etcdserver: permission denied');
  });
  const source = await storeSource('etcd', restricted);
  await assert.rejects(refuseWrongPrefix(source, Buffer.from('/kubernetes/')), {
    code: 'source-unreadable',
    message: /^nothing lies under \/kubernetes\/ in etcd, and the user may not read other keys/,
  });
});
