/** Watches that are slow or far behind: bounded memory, nothing lost, nothing twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WatchRecorder } from '../contract/harness.js';
import type { Store, WatchEvent, WatchSink } from '../store.js';
import { openLmdbStore } from './open.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

const ALL = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) };

const write = (store: Store, count: number, valueBytes = 10) =>
  Promise.all(
    Array.from({ length: count }, (_, i) =>
      store.txn({
        compare: [],
        success: [{ kind: 'put', key: Buffer.from(`k${i % 100}`), value: Buffer.alloc(valueBytes, i) }],
        failure: [],
      }),
    ),
  );

/** Takes one call, then holds the watch until told. */
class SlowSink extends WatchRecorder implements WatchSink {
  #release: () => void = () => {};
  #ready: Promise<void> | undefined;

  ready(): Promise<void> {
    this.#ready ??= new Promise((resolve) => {
      this.#release = resolve;
    });
    return this.#ready;
  }

  release(): void {
    this.#ready = undefined;
    this.#release();
  }
}

test('a sink that is not ready gets nothing; released, it gets what happened meanwhile, in pages', async (t) => {
  const store = await openLmdbStore({ path: await temporaryDirectory(t) });
  const slow = new SlowSink();
  const fast = new WatchRecorder();
  await store.watch({ ...ALL, prevKv: true }, slow).started;
  await store.watch({ ...ALL, prevKv: true }, fast).started;
  await write(store, 1);
  await slow.untilEvents(1);
  await write(store, 1500);
  await fast.untilEvents(1501);
  assert.equal(slow.calls.length, 1);
  const sizes: number[] = [];
  while (slow.events.length < 1501) {
    const before = slow.events.length;
    slow.release();
    await slow.until((recorder) => recorder.events.length > before);
    sizes.push(slow.events.length - before);
  }
  assert.ok(sizes.length >= 3 && sizes.every((size) => size <= 512), `pages of ${sizes.join(', ')}`);
  assert.deepEqual(slow.events.map(described), fast.events.map(described));
  await store.close();
});

test('catching up with large values takes pages of about a megabyte', async (t) => {
  const store = await openLmdbStore({ path: await temporaryDirectory(t) });
  await write(store, 40, 200_000);
  const recorder = new WatchRecorder();
  store.watch({ ...ALL, startRevision: 2 }, recorder);
  await recorder.untilEvents(40);
  const largest = Math.max(...recorder.calls.map((call) => call.events.length));
  assert.ok(largest <= 6, `${largest} events in one page`);
  await store.close();
});

test('a watch held until its place is compacted ends, and says where to start again', async (t) => {
  const store = await openLmdbStore({ path: await temporaryDirectory(t) });
  const slow = new SlowSink();
  await store.watch(ALL, slow).started;
  await write(store, 1);
  await slow.untilEvents(1);
  await write(store, 10);
  const { revision } = await store.status();
  await store.compact(revision);
  slow.release();
  await slow.until(({ ends }) => ends.length > 0);
  assert.deepEqual(slow.ends, [{ kind: 'compacted', compactRevision: revision }]);
  await store.close();
});

test('a sink that throws loses its own watch only', async (t) => {
  const store = await openLmdbStore({ path: await temporaryDirectory(t) });
  const good = new WatchRecorder();
  const failure = new Error('the sink is broken');
  const ends: unknown[] = [];
  const bad: WatchSink = {
    onEvents: () => {
      throw failure;
    },
    onEnd: (reason) => ends.push(reason),
  };
  await store.watch(ALL, bad).started;
  await store.watch(ALL, good).started;
  await write(store, 3);
  await good.untilEvents(3);
  assert.deepEqual(ends, [{ kind: 'failed', error: failure }]);
  await store.close();
});

test('a watch that cancels itself while it is told is not told again', async (t) => {
  const store = await openLmdbStore({ path: await temporaryDirectory(t) });
  const other = new WatchRecorder();
  let calls = 0;
  const watch = store.watch(ALL, {
    onEvents: () => {
      calls++;
      watch.cancel();
    },
    onEnd: () => {},
  });
  await watch.started;
  await store.watch(ALL, other).started;
  await write(store, 2);
  await write(store, 2);
  await other.untilEvents(4);
  assert.equal(calls, 1);
  await store.close();
});

test('a watch refused ends as failed and does not start', async (t) => {
  const store = await openLmdbStore({ path: await temporaryDirectory(t) });
  const recorder = new WatchRecorder();
  const watch = store.watch({ key: Buffer.alloc(0) }, recorder);
  await assert.rejects(watch.started);
  await recorder.until(({ ends }) => ends.length > 0);
  assert.equal(recorder.ends[0]?.kind, 'failed');
  await store.close();
});

function described({ type, kv, prevKv }: WatchEvent): string {
  return `${type} ${kv.key.toString()} ${kv.modRevision} ${kv.version} ${kv.value.toString('hex')} ${prevKv?.modRevision}`;
}
