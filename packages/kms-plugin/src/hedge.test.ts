/** Two ways to one answer: the first success counts, the other one leaves nothing behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProviderError } from './errors.js';
import { hedge } from './hedge.js';
import { createFakeClock } from './testing/fake-clock.js';
import { settled } from './testing/settled.js';

interface Way {
  readonly run: (signal: AbortSignal) => Promise<string>;
  signal: AbortSignal | undefined;
  succeed: (value: string) => void;
  fail: (error: Error) => void;
}

function way(): Way {
  const self: Way = {
    signal: undefined,
    succeed: () => {},
    fail: () => {},
    run: (signal) => {
      self.signal = signal;
      return new Promise((resolve, reject) => {
        self.succeed = resolve;
        self.fail = reject;
      });
    },
  };
  return self;
}

const down = (reason: string): ProviderError =>
  new ProviderError(reason, { class: 'unavailable', code: 'unavailable', advice: 'Down.' });

function hedging(caller?: AbortSignal): {
  readonly clock: ReturnType<typeof createFakeClock>;
  readonly one: Way;
  readonly two: Way;
  readonly late: string[];
  readonly result: Promise<string>;
} {
  const clock = createFakeClock();
  const [one, two] = [way(), way()];
  const late: string[] = [];
  const result = hedge(one.run, two.run, {
    clock,
    delayMs: 100,
    discard: (value) => late.push(value),
    ...(caller === undefined ? {} : { caller }),
  });
  result.catch(() => undefined);
  return { clock, one, two, late, result };
}

test('a quick first way is the only one', async () => {
  const { clock, one, two, result } = hedging();
  clock.advance(99);
  one.succeed('one');
  assert.equal(await result, 'one');
  clock.advance(1000);
  assert.equal(two.signal, undefined);
});

test('a slow first way gets company; whoever is first wins, and the other is aborted and discarded', async () => {
  const { clock, one, two, late, result } = hedging();
  clock.advance(100);
  assert.equal(one.signal?.aborted, false);
  two.succeed('two');
  assert.equal(await result, 'two');
  assert.equal(one.signal.aborted, true);
  one.succeed('one');
  await settled();
  assert.deepEqual(late, ['one']);
});

test('a first way that fails does not let the second one wait', async () => {
  const { one, two, result } = hedging();
  one.fail(down('first'));
  await settled();
  two.succeed('two');
  assert.equal(await result, 'two');
});

test('both fail: the first way says why, whichever failed first', async () => {
  const { clock, one, two, result } = hedging();
  clock.advance(100);
  two.fail(down('second'));
  await settled();
  one.fail(down('first'));
  await assert.rejects(result, /^ProviderError: first/);
});

test('a caller that gives up ends both ways', async () => {
  const abort = new AbortController();
  const { clock, one, two, late, result } = hedging(abort.signal);
  clock.advance(100);
  abort.abort();
  await assert.rejects(result, /cancelled/);
  assert.deepEqual([one.signal?.aborted, two.signal?.aborted], [true, true]);
  one.succeed('one');
  two.fail(down('second'));
  await settled();
  assert.deepEqual(late, ['one']);
  const before = hedging(AbortSignal.abort());
  await assert.rejects(before.result, /cancelled/);
  assert.equal(before.one.signal, undefined);
});
