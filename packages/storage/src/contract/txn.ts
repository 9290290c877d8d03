/** Writing: what a transaction does, answers and refuses. */
import assert from 'node:assert/strict';
import { MAX_REQUEST_BYTES, type Op, type PutOp } from '../store.js';
import { bytes, errorCode, plain, suffixes, type ContractTest } from './harness.js';

export function txnContract(test: ContractTest): void {
  test('all changes of a transaction have one revision', async ({ run, store, all, key }) => {
    const before = (await store.status()).revision;
    const result = await run(
      { kind: 'put', key: key('a'), value: bytes('1') },
      { kind: 'put', key: key('b'), value: bytes('1') },
      { kind: 'put', key: key('c'), value: bytes('1') },
    );
    assert.equal(result.succeeded, true);
    assert.equal(result.revision, before + 1);
    assert.deepEqual(
      (await store.range(all)).kvs.map((kv) => kv.modRevision),
      [before + 1, before + 1, before + 1],
    );
  });

  test('a transaction that changes nothing takes no revision', async ({ put, run, store, key, all }) => {
    const revision = await put('a');
    assert.equal((await run({ kind: 'delete', key: key('absent') })).revision, revision);
    assert.equal((await run({ kind: 'range', ...all })).revision, revision);
    assert.equal((await run()).revision, revision);
    assert.equal((await store.status()).revision, revision);
  });

  test('a put of the same value is a change', async ({ put, get }) => {
    const first = await put('a', 'same');
    const second = await put('a', 'same');
    assert.equal(second, first + 1);
    assert.equal((await get('a'))?.version, 2);
  });

  test('prevKv answers what was there before', async ({ put, run, key, get }) => {
    await put('a', 'old');
    const old = await get('a');
    const result = await run(
      { kind: 'put', key: key('a'), value: bytes('new'), prevKv: true },
      { kind: 'put', key: key('b'), value: bytes('new'), prevKv: true },
      { kind: 'put', key: key('c'), value: bytes('new') },
    );
    const [a, b, c] = result.results;
    assert.ok(a?.kind === 'put' && b?.kind === 'put' && c?.kind === 'put');
    assert.deepEqual(plain(a.prevKv), plain(old));
    assert.equal(b.prevKv, undefined);
    assert.equal(c.prevKv, undefined);
  });

  test('a delete answers how many and, when asked, which', async ({ put, run, key, all, get }) => {
    await put('a', '1');
    await put('b', '2');
    await put('c', '3');
    const quiet = await run({ kind: 'delete', key: key('a') });
    assert.deepEqual(quiet.results, [{ kind: 'delete', deleted: 1, prevKvs: [] }]);
    const result = await run({ kind: 'delete', ...all, prevKv: true });
    const [deleted] = result.results;
    assert.ok(deleted?.kind === 'delete');
    assert.equal(deleted.deleted, 2);
    assert.deepEqual(suffixes(deleted.prevKvs), ['b', 'c']);
    assert.equal(await get('b'), undefined);
    assert.equal(result.revision, quiet.revision + 1);
  });

  test('a delete of a range takes its end to mean what a read does', async ({
    put,
    run,
    key,
    store,
    all,
  }) => {
    for (const suffix of ['a', 'b', 'c', 'd']) await put(suffix);
    await run({ kind: 'delete', key: key('b'), rangeEnd: key('d') });
    assert.deepEqual(suffixes((await store.range(all)).kvs), ['a', 'd']);
    const nothing = await run({ kind: 'delete', key: key('d'), rangeEnd: key('d') });
    assert.deepEqual(nothing.results, [{ kind: 'delete', deleted: 0, prevKvs: [] }]);
  });

  test('operations run in order and see those before them', async ({ put, run, key, all }) => {
    await put('a', 'old');
    const result = await run(
      { kind: 'range', ...all },
      { kind: 'put', key: key('b'), value: bytes('new') },
      { kind: 'range', ...all },
      { kind: 'delete', key: key('a') },
      { kind: 'range', ...all },
    );
    const ranges = result.results.filter((each) => each.kind === 'range');
    assert.deepEqual(
      ranges.map((range) => suffixes(range.kvs)),
      [['a'], ['a', 'b'], ['b']],
    );
    assert.deepEqual(
      ranges.map((range) => range.count),
      [1, 2, 1],
    );
  });

  test('a range in a transaction reads the past too', async ({ put, run, key }) => {
    const first = await put('a', 'old');
    const second = await put('a', 'new');
    const result = await run({ kind: 'range', key: key('a'), revision: first });
    const [range] = result.results;
    assert.ok(range?.kind === 'range');
    assert.equal(range.kvs[0]?.value.toString(), 'old');
    await assert.rejects(
      run({ kind: 'range', key: key('a'), revision: second + 1 }),
      errorCode('future-revision'),
    );
  });

  test('limit, more and keysOnly hold in a transaction as outside', async ({ put, run, all, key }) => {
    for (const suffix of ['a', 'c']) await put(suffix);
    const result = await run(
      { kind: 'put', key: key('b'), value: bytes('1') },
      { kind: 'range', ...all, limit: 2, keysOnly: true },
      { kind: 'range', ...all, countOnly: true },
    );
    const [, page, count] = result.results;
    assert.ok(page?.kind === 'range' && count?.kind === 'range');
    assert.deepEqual(suffixes(page.kvs), ['a', 'b']);
    assert.equal(page.more, true);
    assert.equal(page.count, 3);
    assert.equal(page.kvs[0]?.value.length, 0);
    assert.equal(count.count, 3);
  });

  test('nested transactions choose their branches before anything is written', async ({
    run,
    store,
    key,
    get,
  }) => {
    const absent = (suffix: string) =>
      ({ key: key(suffix), target: 'version', result: 'equal', number: 0 }) as const;
    const putOp = (suffix: string): PutOp => ({ kind: 'put', key: key(suffix), value: bytes('1') });
    const result = await store.txn({
      compare: [absent('a')],
      success: [
        putOp('a'),
        // `a` is there by now, but conditions are judged on the state before the transaction, as etcd does.
        { kind: 'txn', compare: [absent('a')], success: [putOp('inner')], failure: [putOp('never')] },
        {
          kind: 'txn',
          compare: [],
          success: [{ kind: 'txn', compare: [absent('a')], success: [putOp('deep')], failure: [] }],
          failure: [],
        },
      ],
      failure: [],
    });
    assert.ok(await get('inner'));
    assert.ok(await get('deep'));
    assert.equal(await get('never'), undefined);
    const [, inner, outer] = result.results;
    assert.ok(inner?.kind === 'txn' && outer?.kind === 'txn');
    assert.equal(inner.succeeded, true);
    assert.deepEqual(inner.results, [{ kind: 'put' }]);
    assert.equal((await get('deep'))?.modRevision, result.revision);
    assert.equal((await run()).revision, result.revision);
  });

  const clash: Record<string, (key: (suffix: string) => Buffer) => Op[]> = {
    'two puts of one key': (key) => [
      { kind: 'put', key: key('a'), value: bytes('1') },
      { kind: 'put', key: key('a'), value: bytes('2') },
    ],
    'a put and a delete of one key': (key) => [
      { kind: 'delete', key: key('a') },
      { kind: 'put', key: key('a'), value: bytes('2') },
    ],
    'a put inside a deleted range': (key) => [
      { kind: 'put', key: key('b'), value: bytes('2') },
      { kind: 'delete', key: key('a'), rangeEnd: key('c') },
    ],
    'a put also made by a nested transaction': (key) => [
      { kind: 'put', key: key('a'), value: bytes('1') },
      { kind: 'txn', compare: [], success: [{ kind: 'put', key: key('a'), value: bytes('2') }], failure: [] },
    ],
    'a put that a nested transaction deletes': (key) => [
      { kind: 'put', key: key('a'), value: bytes('1') },
      { kind: 'txn', compare: [], success: [], failure: [{ kind: 'delete', key: key('a') }] },
    ],
    'one put in each of two nested transactions': (key) =>
      [1, 2].map((n) => ({
        kind: 'txn',
        compare: [],
        success: [],
        failure: [{ kind: 'put', key: key('a'), value: bytes(String(n)) }],
      })),
  };
  for (const [what, ops] of Object.entries(clash)) {
    test(`${what} in one transaction is refused`, async ({ run, store, key, get, put }) => {
      const revision = await put('other');
      await assert.rejects(run(...ops(key)), errorCode('duplicate-key'));
      await assert.rejects(
        store.txn({ compare: [], success: [], failure: ops(key) }),
        errorCode('duplicate-key'),
        'the branch not taken counts too',
      );
      assert.equal(await get('a'), undefined);
      assert.equal((await store.status()).revision, revision);
    });
  }

  test('the same key may be put in both branches, and deleted twice', async ({
    store,
    run,
    key,
    put,
    get,
  }) => {
    const putOp: PutOp = { kind: 'put', key: key('a'), value: bytes('1') };
    await store.txn({ compare: [], success: [putOp], failure: [putOp] });
    await store.txn({
      compare: [],
      success: [{ kind: 'txn', compare: [], success: [putOp], failure: [putOp] }],
      failure: [],
    });
    assert.equal((await get('a'))?.version, 2);
    await put('b');
    const result = await run(
      { kind: 'delete', key: key('a') },
      { kind: 'delete', key: key('a'), rangeEnd: key('c') },
    );
    assert.deepEqual(
      result.results.map((each) => each.kind === 'delete' && each.deleted),
      [1, 1],
    );
  });

  test('ignoreValue keeps the value', async ({ run, put, get, key }) => {
    await put('a', 'kept');
    await run({ kind: 'put', key: key('a'), value: Buffer.alloc(0), ignoreValue: true });
    const kv = await get('a');
    assert.equal(kv?.value.toString(), 'kept');
    assert.equal(kv?.version, 2);
    await assert.rejects(
      run({ kind: 'put', key: key('absent'), value: Buffer.alloc(0), ignoreValue: true }),
      errorCode('key-not-found'),
    );
    await assert.rejects(
      run({ kind: 'put', key: key('a'), value: bytes('x'), ignoreValue: true }),
      errorCode('invalid-argument'),
    );
  });

  test('ignoreLease keeps the lease', async ({ store, run, get, key, put }) => {
    const { id } = await store.leaseGrant(60);
    await run({ kind: 'put', key: key('a'), value: bytes('1'), lease: id });
    await run({ kind: 'put', key: key('a'), value: bytes('2'), ignoreLease: true });
    assert.equal((await get('a'))?.lease, id);
    await put('a', '3');
    assert.equal((await get('a'))?.lease, 0n);
    await assert.rejects(
      run({ kind: 'put', key: key('absent'), value: bytes('x'), ignoreLease: true }),
      errorCode('key-not-found'),
    );
    await assert.rejects(
      run({ kind: 'put', key: key('a'), value: bytes('x'), ignoreLease: true, lease: id }),
      errorCode('invalid-argument'),
    );
    await store.leaseRevoke(id);
  });

  test('a transaction that is refused changes nothing', async ({ run, get, store, key, put }) => {
    const revision = await put('other');
    await assert.rejects(
      run(
        { kind: 'put', key: key('a'), value: bytes('1') },
        { kind: 'put', key: key('b'), value: Buffer.alloc(0), ignoreValue: true },
      ),
      errorCode('key-not-found'),
    );
    assert.equal(await get('a'), undefined);
    assert.equal((await store.status()).revision, revision);
    assert.equal(await put('c'), revision + 1);
  });

  test('empty keys are refused', async ({ run, store }) => {
    const empty = Buffer.alloc(0);
    await assert.rejects(run({ kind: 'put', key: empty, value: bytes('1') }), errorCode('invalid-argument'));
    await assert.rejects(run({ kind: 'delete', key: empty }), errorCode('invalid-argument'));
    await assert.rejects(run({ kind: 'range', key: empty }), errorCode('invalid-argument'));
    await assert.rejects(
      store.txn({
        compare: [{ key: empty, target: 'version', result: 'equal', number: 0 }],
        success: [],
        failure: [],
      }),
      errorCode('invalid-argument'),
    );
  });

  test('a value of 1 MiB goes in and comes out', async ({ put, get }) => {
    const value = Buffer.alloc(1024 * 1024, 'waxseal ');
    const first = await put('big', value);
    await put('big', 'small');
    assert.equal((await get('big'))?.value.toString(), 'small');
    assert.ok((await get('big', first))?.value.equals(value));
  });

  test('a request over the limit is refused and harms nothing', async ({ put, get, run, key, traits }) => {
    const half = Buffer.alloc(MAX_REQUEST_BYTES / 2 + 1);
    await assert.rejects(put('a', Buffer.alloc(MAX_REQUEST_BYTES + 1)), errorCode('too-large'));
    await assert.rejects(
      run({ kind: 'put', key: key('a'), value: half }, { kind: 'put', key: key('b'), value: half }),
      errorCode('too-large'),
    );
    await assert.rejects(put(Buffer.alloc(MAX_REQUEST_BYTES + 1, 'k'), ''), errorCode('too-large'));
    await put('a', Buffer.alloc(10));
    assert.equal((await get('a'))?.version, 1);
    const longest = Buffer.alloc(Math.min(traits.maxKeyBytes ?? 4096, 4096) - key('').length, 'k');
    await put(longest);
    await put(longest);
    assert.equal((await get(longest))?.version, 2);
  });
}
