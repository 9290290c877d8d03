/**
 * Goal: a watch reports every change once and in order, seen through its selectors, from any start.
 * Method: watches over a store in use; for the property, random writes and watches that start at random revisions are
 * compared with what the writers did.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { ApiError } from '../errors.js';
import { slowTransformer, transformerOf } from './testing/encryption.js';
import { createHarness, type Harness, type WatchedEvent } from './testing/harness.js';

let h: Harness;
before(async () => {
  h = await createHarness({ bookmarkIntervalMs: 20 });
});
after(() => h.close());

const brief = (events: readonly WatchedEvent[]): string[] =>
  events.map(({ type, object }) => `${type} ${object.metadata.name ?? ''}`);

async function configMap(namespace: string, name: string, rest: object = {}): Promise<string> {
  const made = await h.create('configmaps', namespace, { metadata: { name }, ...rest });
  return made.metadata.resourceVersion as string;
}

async function namespace(name: string): Promise<string> {
  await h.create('namespaces', '', { metadata: { name } });
  return name;
}

describe('a watch', () => {
  test('without a version reports what is there, then what changes', async () => {
    const ns = await namespace('w-initial');
    await configMap(ns, 'a');
    await configMap(ns, 'b');
    const watch = await h.watch('configmaps', ns);
    await watch.take(2);
    await configMap(ns, 'c');
    await h.patch('configmaps', ns, 'a', 'merge', { data: { x: '1' } });
    await h.delete('configmaps', ns, 'b');
    const events = await watch.take(5);
    watch.stop();
    assert.deepEqual(brief(events), ['ADDED a', 'ADDED b', 'ADDED c', 'MODIFIED a', 'DELETED b']);
  });

  test('DELETED carries the last state with the version of the deletion', async () => {
    const ns = await namespace('w-deleted');
    const created = await configMap(ns, 'd', { data: { last: 'state' } });
    const watch = await h.watch('configmaps', ns, { resourceVersion: created });
    await h.delete('configmaps', ns, 'd');
    const [event] = await watch.take(1);
    watch.stop();
    assert.equal(event?.type, 'DELETED');
    assert.deepEqual(event?.object['data'], { last: 'state' });
    assert.ok(Number(event?.object.metadata.resourceVersion) > Number(created));
  });

  test('from a version reports only what came after it', async () => {
    const ns = await namespace('w-from');
    const first = await configMap(ns, 'a');
    await configMap(ns, 'b');
    const watch = await h.watch('configmaps', ns, { resourceVersion: first });
    await configMap(ns, 'c');
    const events = await watch.take(2);
    watch.stop();
    assert.deepEqual(brief(events), ['ADDED b', 'ADDED c']);
  });

  test('an object that begins or ceases to match is ADDED or DELETED', async () => {
    const ns = await namespace('w-selector');
    const start = await configMap(ns, 'moves');
    const watch = await h.watch('configmaps', ns, { resourceVersion: start, labelSelector: 'in=yes' });
    await h.patch('configmaps', ns, 'moves', 'merge', { metadata: { labels: { in: 'yes' } } });
    await h.patch('configmaps', ns, 'moves', 'merge', { data: { k: 'v' } });
    const last = await h.patch('configmaps', ns, 'moves', 'merge', { metadata: { labels: { in: 'no' } } });
    await h.patch('configmaps', ns, 'moves', 'merge', { data: { k: 'w' } });
    await configMap(ns, 'other', { metadata: { name: 'other', labels: { in: 'yes' } } });
    const events = await watch.take(4);
    watch.stop();
    assert.deepEqual(brief(events), ['ADDED moves', 'MODIFIED moves', 'DELETED moves', 'ADDED other']);
    assert.deepEqual(events[2]?.object.metadata.labels, { in: 'yes' });
    assert.equal(events[2]?.object.metadata.resourceVersion, last.metadata.resourceVersion);
  });

  test('one name is watched by field selector', async () => {
    const ns = await namespace('w-field');
    const start = await configMap(ns, 'a');
    const watch = await h.watch('configmaps', ns, {
      resourceVersion: start,
      fieldSelector: 'metadata.name=c',
    });
    await configMap(ns, 'b');
    await configMap(ns, 'c');
    assert.deepEqual(brief(await watch.take(1)), ['ADDED c']);
    watch.stop();
  });

  test('bookmarks tell how far it has come', async () => {
    const watch = await h.watch('configmaps', 'kube-public', {
      resourceVersion: '1',
      allowWatchBookmarks: true,
    });
    const [event] = await watch.take(1);
    watch.stop();
    assert.equal(event?.type, 'BOOKMARK');
    assert.equal(event?.object.kind, 'ConfigMap');
    assert.match(event?.object.metadata.resourceVersion ?? '', /^\d+$/);
  });

  test('initial events end with an annotated bookmark', async () => {
    const ns = await namespace('w-list');
    await configMap(ns, 'a');
    const watch = await h.watch('configmaps', ns, {
      sendInitialEvents: true,
      resourceVersionMatch: 'NotOlderThan',
      allowWatchBookmarks: true,
    });
    const events = await watch.take(2);
    watch.stop();
    assert.deepEqual(brief(events), ['ADDED a', 'BOOKMARK ']);
    assert.deepEqual(events[1]?.object.metadata.annotations, { 'k8s.io/initial-events-end': 'true' });
  });

  test('initial events wait for a slow reader, and what waits is not read ahead', async () => {
    const ns = await namespace('w-slow');
    const data = { filler: 'x'.repeat(512 * 1024) };
    for (let i = 10; i < 60; i++) await configMap(ns, `big-${i}`, { data });
    const waiting: string[] = [];
    let opened = 0;
    let taken = 0;
    let mostOpened = 0;
    let mostWaiting = 0;
    let release = (): void => undefined;
    const inner = transformerOf('first');
    h.encryption.use({
      ...inner,
      transformFromStorage(stored, key) {
        if (key.includes('/configmaps/w-slow/')) opened++;
        return inner.transformFromStorage(stored, key);
      },
    });
    const watch = await h.raw({
      verb: 'watch',
      resource: h.resource('configmaps'),
      namespace: ns,
      timeoutMs: 0,
    });
    assert.ok(watch.kind === 'watch');
    const stop = watch.start({
      onEvent({ object }) {
        waiting.push((JSON.parse(object.toString()) as { metadata: { name: string } }).metadata.name);
        mostWaiting = Math.max(mostWaiting, waiting.length);
        mostOpened = Math.max(mostOpened, opened - taken);
      },
      onEnd: () => assert.fail('the watch ended'),
      drained() {
        if (waiting.length < 2) return undefined;
        return new Promise((resolve) => {
          release = resolve;
        });
      },
    });
    const names: string[] = [];
    while (names.length < 50) {
      await new Promise((resolve) => setImmediate(resolve));
      const name = waiting.shift();
      if (name === undefined) continue;
      names.push(name);
      taken++;
      release();
    }
    stop();
    h.encryption.use(inner);
    assert.deepEqual(
      names,
      Array.from({ length: 50 }, (_, i) => `big-${i + 10}`),
    );
    assert.equal(mostWaiting, 2);
    assert.ok(mostOpened <= 18, `${mostOpened} objects were opened and not taken`);
  });

  test('initial events need the right match', async () => {
    await assert.rejects(
      h.watch('configmaps', 'default', { sendInitialEvents: true }),
      (error: ApiError) => error.code === 422 && error.message.includes('sendInitialEvents requires'),
    );
  });

  test('ends after its timeout and when the client goes', async () => {
    const timed = await h.watch('configmaps', 'default', { timeoutMs: 10, resourceVersion: '1' });
    await h.until(() => timed.ended || undefined);
    const controller = new AbortController();
    const aborted = await h.watch('configmaps', 'default', {
      signal: controller.signal,
      resourceVersion: '1',
    });
    controller.abort();
    const seen = aborted.events.length;
    await configMap('default', 'after-abort');
    assert.equal(aborted.events.length, seen);
  });
});

test('a version that is compacted is an ERROR 410 Expired', async () => {
  const own = await createHarness();
  await own.create('configmaps', 'default', { metadata: { name: 'a' } });
  await own.create('configmaps', 'default', { metadata: { name: 'b' } });
  await own.store.compact((await own.store.status()).revision);
  const watch = await own.watch('configmaps', 'default', { resourceVersion: '1' });
  const [event] = await watch.take(1);
  assert.equal(event?.type, 'ERROR');
  const status = event?.object as unknown as { code: number; reason: string; message: string };
  assert.equal(status.code, 410);
  assert.equal(status.reason, 'Expired');
  assert.match(status.message, /^too old resource version: 1 \(\d+\)$/);
  await own.until(() => watch.ended || undefined);
  await own.close();
});

test('a value that cannot be opened is an ERROR that names the key', async () => {
  const own = await createHarness();
  const made = await own.create('secrets', 'default', { metadata: { name: 'ok' } });
  const watch = await own.watch('secrets', 'default', {
    resourceVersion: made.metadata.resourceVersion as string,
  });
  await own.store.txn({
    compare: [],
    success: [
      {
        kind: 'put',
        key: Buffer.from('/registry/secrets/default/bad'),
        value: Buffer.from('k8s:enc:aesgcm:v1:first:not sealed by anybody at all'),
      },
    ],
    failure: [],
  });
  const [event] = await watch.take(1);
  assert.equal(event?.type, 'ERROR');
  assert.ok(event);
  const { message } = event.object as unknown as { message: string };
  assert.match(message, /unable to transform key "\/registry\/secrets\/default\/bad": /);
  await own.close();
});

test('a watch that starts before what is remembered catches up and then follows', async () => {
  const own = await createHarness();
  const early = await own.create('configmaps', 'default', { metadata: { name: 'c0' } });
  const from = early.metadata.resourceVersion as string;
  // The first watch starts the shared one; more changes than it remembers follow.
  const first = await own.watch('configmaps', 'default', { resourceVersion: from });
  const total = 1100;
  for (let i = 1; i <= total; i += 50) {
    await Promise.all(
      Array.from({ length: 50 }, (_, j) =>
        own.create('configmaps', 'default', { metadata: { name: `c${i + j}` } }),
      ),
    );
  }
  await first.take(total);
  const second = await own.watch('configmaps', 'default', { resourceVersion: from });
  await second.take(total);
  await own.create('configmaps', 'default', { metadata: { name: 'last' } });
  const [a, b] = await Promise.all([first.take(total + 1), second.take(total + 1)]);
  assert.deepEqual(brief(b), brief(a));
  assert.equal(new Set(brief(b)).size, total + 1);
  first.stop();
  const third = await own.create('configmaps', 'default', { metadata: { name: 'third' } });
  assert.equal(
    (await second.take(total + 2))[total + 1]?.object.metadata.resourceVersion,
    third.metadata.resourceVersion,
  );
  await own.close();
  await own.until(() => second.ended || undefined);
});

test('property: from any revision, with any selector, nothing is missed and nothing repeated', async () => {
  const seed = 20_250_615;
  console.log(`seed ${seed}`);
  const step = fc.record({
    name: fc.constantFrom('a', 'b', 'c'),
    action: fc.constantFrom('put', 'put', 'label', 'delete'),
    label: fc.constantFrom('x', 'y'),
    watch: fc.boolean(),
    back: fc.nat({ max: 12 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), fc.boolean(), async (steps, slow) => {
      const fast = transformerOf('first');
      const own = await createHarness({ transformer: slow ? slowTransformer(fast) : fast });
      // What else is written would move the revisions that are noted here.
      await own.settled();
      const state = new Map<string, string>();
      const history: {
        revision: number;
        name: string;
        before: string | undefined;
        after: string | undefined;
      }[] = [];
      const watches: { from: number; selector: string; running: Awaited<ReturnType<Harness['watch']>> }[] =
        [];
      for (const { name, action, label, watch, back } of steps) {
        if (watch) {
          const { revision } = await own.store.status();
          const from = Math.max(1, revision - back);
          const selector = label === 'x' ? 'l=x' : '';
          const running = await own.watch('configmaps', 'default', {
            resourceVersion: String(from),
            labelSelector: selector,
          });
          watches.push({ from, selector, running });
        }
        const before = state.get(name);
        if (before === undefined && action !== 'delete') {
          await own.create('configmaps', 'default', { metadata: { name, labels: { l: label } } });
          state.set(name, label);
        } else if (before !== undefined && action === 'delete') {
          await own.delete('configmaps', 'default', name);
          state.delete(name);
        } else if (before !== undefined) {
          const unique = String(history.length);
          await own.patch('configmaps', 'default', name, 'merge', {
            metadata: { labels: { l: label, unique } },
          });
          state.set(name, label);
        } else continue;
        const { revision } = await own.store.status();
        history.push({ revision, name, before, after: state.get(name) });
      }
      for (const { from, selector, running } of watches) {
        const isIn = (label: string | undefined): boolean =>
          label !== undefined && (selector === '' || label === 'x');
        const expected = history
          .filter(({ revision }) => revision > from)
          .flatMap(({ name, before, after }) => {
            if (isIn(after)) return [`${isIn(before) ? 'MODIFIED' : 'ADDED'} ${name}`];
            return isIn(before) ? [`DELETED ${name}`] : [];
          });
        await running.take(expected.length);
        // Whatever came twice would be here by now.
        await new Promise(setImmediate);
        assert.deepEqual(brief(running.events), expected);
      }
      await own.close();
    }),
    // A failure takes its time, so nothing is shrunk.
    { seed, numRuns: 25, endOnFailure: true },
  );
});
