/** Compaction: the past goes, the state at the compacted revision stays. */
import assert from 'node:assert/strict';
import { errorCode, suffixes, WatchRecorder, type ContractTest } from './harness.js';

export function compactionContract(test: ContractTest): void {
  test('revisions before a compaction are gone, that revision and later ones are not', async ({
    put,
    remove,
    store,
    all,
    key,
    get,
  }) => {
    await put('gone', '1');
    await put('a', '1');
    await remove('gone');
    const before = await put('b', '1');
    const at = await put('a', '2');
    const after = await remove('b');
    await put('a', '3');
    await store.compact(at);
    await assert.rejects(store.range({ ...all, revision: before }), errorCode('compacted'));
    await assert.rejects(store.get(key('a'), before), errorCode('compacted'));
    const read = async (revision: number): Promise<string[]> =>
      (await store.range({ ...all, revision })).kvs.map(
        (kv) => `${suffixes([kv])[0]}=${kv.value.toString()}`,
      );
    assert.deepEqual(await read(at), ['a=2', 'b=1']);
    assert.deepEqual(await read(after), ['a=2']);
    assert.equal((await get('a'))?.value.toString(), '3');
    assert.equal((await get('a'))?.version, 3);
  });

  test('a key unchanged since before the compaction stays readable', async ({ put, store, get, all }) => {
    const created = await put('old', 'still here');
    for (let i = 0; i < 10; i++) await put('busy', String(i));
    const { revision } = await store.status();
    await store.compact(revision);
    const kv = await get('old', revision);
    assert.equal(kv?.value.toString(), 'still here');
    assert.equal(kv?.createRevision, created);
    assert.equal((await store.range({ ...all, revision })).count, 2);
    assert.equal((await put('old', 'changed')) > revision, true);
    assert.equal((await get('old'))?.version, 2);
  });

  test('compacting twice, or beyond the present, is refused', async ({ put, store }) => {
    await put('a', '1');
    const revision = await put('a', '2');
    await store.compact(revision);
    await assert.rejects(store.compact(revision), errorCode('compacted'));
    await assert.rejects(store.compact(revision - 1), errorCode('compacted'));
    await assert.rejects(store.compact(revision + 1), errorCode('future-revision'));
    const next = await put('a', '3');
    await store.compact(next);
  });

  test('a watch from before the compaction ends and names the revision', async ({ put, store, all }) => {
    const early = await put('a', '1');
    const at = await put('a', '2');
    await put('a', '3');
    await store.compact(at);
    const recorder = new WatchRecorder();
    store.watch({ ...all, startRevision: early }, recorder);
    await recorder.until(({ ends }) => ends.length > 0);
    assert.deepEqual(recorder.ends, [{ kind: 'compacted', compactRevision: at }]);
    assert.equal(recorder.events.length, 0);
  });

  test('a watch from the compacted revision on works', async ({ put, store, all }) => {
    await put('a', '1');
    const at = await put('a', '2');
    await put('a', '3');
    await store.compact(at);
    const recorder = new WatchRecorder();
    store.watch({ ...all, startRevision: at, prevKv: true }, recorder);
    const events = await recorder.untilEvents(2);
    assert.deepEqual(
      events.map((event) => event.kv.value.toString()),
      ['2', '3'],
    );
    assert.equal(events[0]?.prevKv, undefined, 'what it replaced is compacted');
    assert.equal(events[1]?.prevKv?.value.toString(), '2');
  });

  test('a watch that is up to date survives a compaction', async ({ put, store, all }) => {
    const recorder = new WatchRecorder();
    await store.watch(all, recorder).started;
    const revision = await put('a', '1');
    await recorder.untilEvents(1);
    await store.compact(revision);
    await put('a', '2');
    await recorder.untilEvents(2);
    assert.deepEqual(recorder.ends, []);
  });

  test('writes and reads go on while much is compacted', async ({ put, run, store, key, get }) => {
    for (let round = 0; round < 5; round++) {
      await Promise.all(Array.from({ length: 60 }, (_, i) => put(`k${i}`, `${round}`)));
    }
    const { revision } = await store.status();
    const compaction = store.compact(revision);
    const written = await Promise.all(Array.from({ length: 20 }, (_, i) => put(`k${i}`, 'new')));
    await compaction;
    assert.equal((await get('k1'))?.value.toString(), 'new');
    assert.equal((await get('k1', revision))?.value.toString(), '4');
    assert.ok(written.every((each) => each > revision));
    const result = await run({ kind: 'range', key: key('k'), rangeEnd: key('l'), countOnly: true, revision });
    const [range] = result.results;
    assert.ok(range?.kind === 'range');
    assert.equal(range.count, 60);
  });
}
