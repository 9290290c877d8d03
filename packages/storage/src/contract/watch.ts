/** Watching: nothing missed, nothing twice, in order, from now or from the past. */
import assert from 'node:assert/strict';
import type { WatchEvent, WatchRequest } from '../store.js';
import { bytes, plain, suffixes, WatchRecorder, type ContractTest, type Fixture } from './harness.js';

export function watchContract(test: ContractTest): void {
  test('a watch reports puts and deletes from now on', async (fixture) => {
    const { put, remove, store, key } = fixture;
    await put('before');
    const recorder = new WatchRecorder();
    const watch = store.watch(fixture.all, recorder);
    const started = await watch.started;
    assert.equal(started, (await store.status()).revision);
    const created = await put('a', '1');
    const modified = await put('a', '2');
    const deleted = await remove('a');
    const events = await recorder.untilEvents(3);
    assert.deepEqual(events.map(described), [
      `put a=1 @${created}`,
      `put a=2 @${modified}`,
      `delete a @${deleted}`,
    ]);
    assert.deepEqual(plain(events[1]?.kv), {
      key: key('a').toString('latin1'),
      value: '2',
      createRevision: created,
      modRevision: modified,
      version: 2,
      lease: 0n,
    });
    assert.deepEqual(plain(events[2]?.kv), {
      key: key('a').toString('latin1'),
      value: '',
      createRevision: 0,
      modRevision: deleted,
      version: 0,
      lease: 0n,
    });
    assert.equal(events[1]?.prevKv, undefined);
    watch.cancel();
  });

  test('a watch sees its range only', async (fixture) => {
    const { put, store, key } = fixture;
    const one = await watching(fixture, { key: key('b') });
    const range = await watching(fixture, { key: key('b'), rangeEnd: key('d') });
    const open = await watching(fixture, { key: key('c'), rangeEnd: Buffer.from([0]) });
    for (const suffix of ['a', 'b', 'ba', 'c', 'd']) await put(suffix);
    const { revision } = await store.status();
    assert.deepEqual(seen(await upTo(one, revision)), ['b']);
    assert.deepEqual(seen(await upTo(range, revision)), ['b', 'ba', 'c']);
    assert.deepEqual(seen(await upTo(open, revision)), ['c', 'd']);
  });

  test('a watch from a revision of the past starts with the change of that revision', async (fixture) => {
    const { put, remove, all } = fixture;
    await put('a', '1');
    const from = await put('b', '1');
    await put('a', '2');
    await remove('b');
    const { recorder } = await watching(fixture, { ...all, startRevision: from });
    await recorder.untilEvents(3);
    const last = await put('c', '1');
    assert.deepEqual((await recorder.untilEvents(4)).map(described), [
      `put b=1 @${from}`,
      `put a=2 @${from + 1}`,
      `delete b @${from + 2}`,
      `put c=1 @${last}`,
    ]);
  });

  test('a watch from the next revision starts there, one from later waits for it', async (fixture) => {
    const { put, all } = fixture;
    const revision = await put('a', '0');
    const next = await watching(fixture, { ...all, startRevision: revision + 1 });
    const later = await watching(fixture, { ...all, startRevision: revision + 3 });
    for (const value of ['1', '2', '3', '4']) await put('a', value);
    assert.deepEqual(
      (await next.recorder.untilEvents(4)).map((event) => event.kv.value.toString()),
      ['1', '2', '3', '4'],
    );
    assert.deepEqual(
      (await later.recorder.untilEvents(2)).map((event) => event.kv.value.toString()),
      ['3', '4'],
    );
  });

  test('prevKv shows what each change replaced, live and from the past', async (fixture) => {
    const { put, remove, all, key } = fixture;
    const live = await watching(fixture, { ...all, prevKv: true });
    const first = await put('a', '1');
    await put('a', '2');
    await remove('a');
    await put('a', '3');
    const past = await watching(fixture, { ...all, prevKv: true, startRevision: first });
    const single = await watching(fixture, { key: key('a'), prevKv: true, startRevision: first });
    for (const { recorder } of [live, past, single]) {
      const events = await recorder.untilEvents(4);
      assert.deepEqual(
        events.map((event) => event.prevKv?.value.toString()),
        [undefined, '1', '2', undefined],
      );
      assert.equal(events[1]?.prevKv?.modRevision, first);
      assert.equal(events[2]?.prevKv?.version, 2);
    }
  });

  test('all changes of one revision come in one call, in the order they were made', async (fixture) => {
    const { run, key, put, all } = fixture;
    await put('gone1');
    await put('gone2');
    const live = await watching(fixture, all);
    const { revision } = await run(
      { kind: 'put', key: key('b'), value: bytes('1') },
      { kind: 'delete', key: key('gone'), rangeEnd: key('gonf') },
      { kind: 'put', key: key('a'), value: bytes('1') },
    );
    const past = await watching(fixture, { ...all, startRevision: revision });
    for (const { recorder } of [live, past]) {
      await recorder.until(({ calls }) => calls.some((call) => call.revision >= revision));
      const call = recorder.calls.find((each) => each.events.length > 0);
      assert.deepEqual(call?.events.map(described), [
        `put b=1 @${revision}`,
        `delete gone1 @${revision}`,
        `delete gone2 @${revision}`,
        `put a=1 @${revision}`,
      ]);
    }
  });

  test('many changes while watches come and go: each sees all of them, once, in order', async (fixture) => {
    const { put, remove, all, store } = fixture;
    const first = (await put('k', 'first')) + 1;
    const watches = [await watching(fixture, { ...all, startRevision: first })];
    const writes: Promise<number>[] = [];
    for (let i = 0; i < 200; i++) {
      writes.push(i % 7 === 3 ? remove(`k${i % 5}`) : put(`k${i % 5}`, String(i)));
      if (i % 40 === 0) watches.push(await watching(fixture, { ...all, startRevision: first }));
    }
    await Promise.all(writes);
    const { revision } = await store.status();
    const reference = (await upTo(watches[0] as Watching, revision)).map(described);
    assert.ok(reference.length >= 170);
    for (const watching of watches) {
      const events = await upTo(watching, revision);
      assert.deepEqual(events.map(described), reference);
      const revisions = events.map((event) => event.kv.modRevision);
      assert.deepEqual(
        revisions,
        revisions.toSorted((a, b) => a - b),
      );
      assert.equal(new Set(revisions).size, revisions.length);
    }
    const calls = watches[0]?.recorder.calls.map((call) => call.revision) ?? [];
    assert.deepEqual(
      calls,
      calls.toSorted((a, b) => a - b),
    );
  });

  test('a watch cancelled ends once and reports nothing more', async (fixture) => {
    const { put, all } = fixture;
    const { watch, recorder } = await watching(fixture, all);
    const other = await watching(fixture, all);
    await put('a', '1');
    await recorder.untilEvents(1);
    watch.cancel();
    watch.cancel();
    await recorder.until(({ ends }) => ends.length > 0);
    await put('a', '2');
    await other.recorder.untilEvents(2);
    assert.deepEqual(recorder.ends, [{ kind: 'cancelled' }]);
    assert.equal(recorder.events.length, 1);
  });

  test('progress comes when asked for and says how far the watch is', async (fixture) => {
    const { put, all, key } = fixture;
    const { watch, recorder } = await watching(fixture, all);
    const quiet = await watching(fixture, { key: key('never') });
    const revision = await put('a', '1');
    watch.requestProgress();
    quiet.watch.requestProgress();
    await recorder.until(({ progress }) => progress.some((each) => each >= revision));
    await quiet.recorder.until(({ progress }) => progress.some((each) => each >= revision));
    assert.equal(recorder.events.length, 1, 'the event came before the progress');
    assert.equal(quiet.recorder.events.length, 0);
  });

  test('two watches in one store do not disturb each other', async (fixture) => {
    const { put, key } = fixture;
    const a = await watching(fixture, { key: key('a') });
    const b = await watching(fixture, { key: key('b') });
    await put('a', '1');
    await put('b', '1');
    a.watch.cancel();
    await put('b', '2');
    assert.equal((await b.recorder.untilEvents(2)).length, 2);
    assert.deepEqual(b.recorder.ends, []);
  });
}

interface Watching {
  readonly watch: ReturnType<Fixture['store']['watch']>;
  readonly recorder: WatchRecorder;
}

async function watching({ store }: Fixture, request: WatchRequest): Promise<Watching> {
  const recorder = new WatchRecorder();
  const watch = store.watch(request, recorder);
  await watch.started;
  return { watch, recorder };
}

/** Every event up to `revision`: asks for progress so that a quiet watch answers too. */
async function upTo({ watch, recorder }: Watching, revision: number): Promise<readonly WatchEvent[]> {
  watch.requestProgress();
  await recorder.until(
    ({ calls, progress }) =>
      calls.some((call) => call.revision >= revision) || progress.some((each) => each >= revision),
  );
  return recorder.events;
}

function seen(events: readonly WatchEvent[]): string[] {
  return suffixes(events.map((event) => event.kv));
}

function described(event: WatchEvent): string {
  const [suffix] = suffixes([event.kv]);
  const value = event.type === 'put' ? `=${event.kv.value.toString()}` : '';
  return `${event.type} ${suffix}${value} @${event.kv.modRevision}`;
}
