/** Reading: one key, ranges and their edges, limits, counts, and revisions of the past. */
import assert from 'node:assert/strict';
import { errorCode, plain, suffixes, type ContractTest } from './harness.js';

export function rangeContract(test: ContractTest): void {
  test('a key that was never written does not exist', async ({ get }) => {
    assert.equal(await get('absent'), undefined);
  });

  test('a key-value carries its revisions, version and lease', async ({ put, get, key }) => {
    const created = await put('a', 'one');
    const modified = await put('a', 'two');
    assert.equal(modified, created + 1);
    assert.deepEqual(plain(await get('a')), {
      key: key('a').toString('latin1'),
      value: 'two',
      createRevision: created,
      modRevision: modified,
      version: 2,
      lease: 0n,
    });
  });

  test('a key written again after its deletion starts over', async ({ put, remove, get }) => {
    await put('a', 'one');
    await put('a', 'two');
    await remove('a');
    const created = await put('a', 'three');
    const kv = await get('a');
    assert.equal(kv?.createRevision, created);
    assert.equal(kv?.version, 1);
  });

  test('a range is ordered by key bytes, starts at key and ends before rangeEnd', async ({
    put,
    store,
    key,
  }) => {
    for (const suffix of ['b', 'a', 'c', 'aa', 'B']) await put(suffix);
    const result = await store.range({ key: key('a'), rangeEnd: key('c') });
    assert.deepEqual(suffixes(result.kvs), ['a', 'aa', 'b']);
    assert.equal(result.count, 3);
    assert.equal(result.more, false);
  });

  test('a range without rangeEnd is the one key, not its prefix', async ({ put, store, key }) => {
    await put('a');
    await put('aa');
    assert.deepEqual(suffixes((await store.range({ key: key('a') })).kvs), ['a']);
    assert.deepEqual(suffixes((await store.range({ key: key('a'), rangeEnd: Buffer.alloc(0) })).kvs), ['a']);
  });

  test('a range that ends where it starts, or before, is empty', async ({ put, store, key }) => {
    await put('a');
    await put('b');
    assert.equal((await store.range({ key: key('a'), rangeEnd: key('a') })).count, 0);
    assert.equal((await store.range({ key: key('b'), rangeEnd: key('a') })).count, 0);
  });

  test('a rangeEnd of one zero byte means every key from key on', async ({ put, store, key }) => {
    const last = Buffer.alloc(8, 0xff);
    await put('a');
    await put(last);
    const open = await store.range({ key: key('a'), rangeEnd: Buffer.from([0]) });
    const keys = open.kvs.map((kv) => kv.key.toString('latin1'));
    assert.ok(keys.includes(key('a').toString('latin1')));
    assert.ok(keys.includes(key(last).toString('latin1')));
    const everything = await store.range({
      key: Buffer.from([0]),
      rangeEnd: Buffer.from([0]),
      countOnly: true,
    });
    assert.ok(everything.count >= open.count);
  });

  test('an empty key is refused', async ({ store }) => {
    await assert.rejects(store.range({ key: Buffer.alloc(0) }), errorCode('invalid-argument'));
    await assert.rejects(
      store.range({ key: Buffer.alloc(0), rangeEnd: Buffer.from([0]) }),
      errorCode('invalid-argument'),
    );
  });

  test('limit cuts the list, more says so, count does not change', async ({ put, store, all }) => {
    for (const suffix of ['a', 'b', 'c']) await put(suffix);
    const page = async (limit: number): Promise<unknown> => {
      const { kvs, more, count } = await store.range({ ...all, limit });
      return { keys: suffixes(kvs), more, count };
    };
    assert.deepEqual(await page(2), { keys: ['a', 'b'], more: true, count: 3 });
    assert.deepEqual(await page(3), { keys: ['a', 'b', 'c'], more: false, count: 3 });
    assert.deepEqual(await page(4), { keys: ['a', 'b', 'c'], more: false, count: 3 });
    assert.deepEqual(await page(0), { keys: ['a', 'b', 'c'], more: false, count: 3 });
  });

  test('a page without a count says whether there is more', async ({ put, store, all }) => {
    for (const suffix of ['a', 'b', 'c']) await put(suffix);
    const page = async (limit: number): Promise<unknown> => {
      const { kvs, more, count } = await store.range({ ...all, limit, uncounted: true });
      assert.ok(count >= kvs.length && count <= 3);
      return { keys: suffixes(kvs), more };
    };
    assert.deepEqual(await page(1), { keys: ['a'], more: true });
    assert.deepEqual(await page(2), { keys: ['a', 'b'], more: true });
    assert.deepEqual(await page(3), { keys: ['a', 'b', 'c'], more: false });
    assert.deepEqual(await page(4), { keys: ['a', 'b', 'c'], more: false });
    assert.deepEqual(await page(0), { keys: ['a', 'b', 'c'], more: false });
  });

  test('a list read page by page at one revision misses nothing and repeats nothing', async ({
    put,
    remove,
    store,
    all,
  }) => {
    const written = Array.from({ length: 25 }, (_, i) => `k${String(i).padStart(2, '0')}`);
    let revision = 0;
    for (const suffix of written) revision = await put(suffix);
    const seen: string[] = [];
    let key = all.key;
    for (;;) {
      const page = await store.range({ key, rangeEnd: all.rangeEnd, limit: 4, revision });
      seen.push(...suffixes(page.kvs));
      // The world moves on between the pages.
      await put('k00a');
      await put(written.at(-1) as string, 'changed');
      await remove(written[seen.length % written.length] as string);
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) break;
      key = Buffer.concat([last.key, Buffer.from([0])]);
    }
    assert.deepEqual(seen, written);
  });

  test('keysOnly leaves the values out, countOnly everything but the count', async ({ put, store, all }) => {
    const revision = await put('a', 'value');
    const keys = await store.range({ ...all, keysOnly: true });
    assert.deepEqual(suffixes(keys.kvs), ['a']);
    assert.equal(keys.kvs[0]?.value.length, 0);
    assert.equal(keys.kvs[0]?.modRevision, revision);
    const count = await store.range({ ...all, countOnly: true });
    assert.deepEqual(
      { kvs: count.kvs, count: count.count, more: count.more },
      { kvs: [], count: 1, more: false },
    );
    assert.equal((await store.range({ ...all, countOnly: true, limit: 1 })).count, 1);
  });

  test('a read at a revision shows the state of that revision', async ({ put, remove, get, store, all }) => {
    const first = await put('a', '1');
    const second = await put('b', '1');
    const third = await put('a', '2');
    const fourth = await remove('b');
    const fifth = await put('b', '2');
    const at = async (revision: number): Promise<string[]> =>
      (await store.range({ ...all, revision })).kvs.map(
        (kv) => `${suffixes([kv])[0]}=${kv.value.toString()}`,
      );
    assert.deepEqual(await at(first - 1), []);
    assert.deepEqual(await at(first), ['a=1']);
    assert.deepEqual(await at(second), ['a=1', 'b=1']);
    assert.deepEqual(await at(third), ['a=2', 'b=1']);
    assert.deepEqual(await at(fourth), ['a=2']);
    assert.deepEqual(await at(fifth), ['a=2', 'b=2']);
    assert.equal((await get('a', first))?.value.toString(), '1');
    assert.equal(await get('b', fourth), undefined);
    assert.equal((await get('b', fifth))?.version, 1);
    const old = await store.range({ ...all, revision: first });
    assert.equal(old.revision, fifth, 'the answer carries the present revision');
    assert.equal(old.count, 1);
    assert.equal((await store.range({ ...all, revision: second, countOnly: true })).count, 2);
    assert.equal((await store.range({ ...all, revision: second, limit: 1 })).more, true);
  });

  test('a revision of the future is refused', async ({ put, store, key }) => {
    const revision = await put('a');
    await assert.rejects(
      store.range({ key: key('a'), revision: revision + 1 }),
      errorCode('future-revision'),
    );
    await assert.rejects(store.get(key('a'), revision + 1), errorCode('future-revision'));
    assert.ok((await store.get(key('a'), revision)).kv);
  });

  test('every read carries the present revision', async ({ put, store, key, all }) => {
    const revision = await put('a');
    assert.equal((await store.get(key('a'))).revision, revision);
    assert.equal((await store.get(key('absent'))).revision, revision);
    assert.equal((await store.range(all)).revision, revision);
    assert.equal((await store.range({ ...all, countOnly: true })).revision, revision);
    assert.equal((await store.status()).revision, revision);
  });

  test('keys and values are any bytes', async ({ put, get, store, all }) => {
    const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const keys = [
      Buffer.from([0]),
      Buffer.from([0, 0]),
      Buffer.from([0, 1]),
      Buffer.from([0, 0xff]),
      Buffer.from([0, 0xff, 0]),
      Buffer.from([1]),
      Buffer.from([0xff]),
      Buffer.from([0xff, 0]),
      Buffer.from([0xff, 0xff]),
      everyByte,
    ];
    for (const key of keys) await put(key, everyByte);
    const before = (await store.status()).revision;
    for (const key of keys) await put(key, Buffer.alloc(0));
    const sorted = keys.toSorted((a, b) => Buffer.compare(a, b)).map((key) => key.toString('latin1'));
    assert.deepEqual(suffixes((await store.range(all)).kvs), sorted);
    assert.deepEqual(suffixes((await store.range({ ...all, revision: before })).kvs), sorted);
    for (const key of keys) {
      assert.equal((await get(key))?.value.length, 0);
      assert.deepEqual((await get(key, before))?.value, everyByte);
    }
  });

  test('what a read returns is the caller’s to keep', async ({ put, get, store, all }) => {
    await put('a', 'first');
    const one = await get('a');
    const list = await store.range(all);
    for (let i = 0; i < 50; i++) await put('a', `later ${i}`);
    await store.range(all);
    assert.equal(one?.value.toString(), 'first');
    assert.equal(list.kvs[0]?.value.toString(), 'first');
  });
}
