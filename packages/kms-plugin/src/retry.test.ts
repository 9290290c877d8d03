/** Retries: only for what passes, only while there is time and budget. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ProviderError, timedOut, unopenable, type Failure } from './errors.js';
import { attemptLeastMs, withRetries } from './retry.js';
import { createRetryBudget, type RetryBudget } from './retry-budget.js';
import { createFakeClock, type FakeClock } from './testing/fake-clock.js';
import { settled } from './testing/settled.js';

const down: Failure = { class: 'unavailable', code: 'unavailable', advice: 'Down.' };

interface Trying {
  readonly clock: FakeClock;
  readonly result: Promise<string>;
  readonly abort: AbortController;
  readonly state: { attempts: number; retries: number; startsMs: number[] };
}

function trying(
  outcomes: readonly (Failure | 'ok')[],
  options: {
    readonly attemptsMax?: number;
    readonly endMs?: number;
    readonly random?: () => number;
    readonly budget?: RetryBudget;
  } = {},
): Trying {
  const clock = createFakeClock();
  const abort = new AbortController();
  const state: Trying['state'] = { attempts: 0, retries: 0, startsMs: [] };
  const result = withRetries(
    {
      clock,
      random: options.random ?? (() => 0.5),
      budget: options.budget ?? createRetryBudget(500),
      attemptsMax: options.attemptsMax ?? 3,
      onRetry: () => {
        state.retries += 1;
      },
    },
    options.endMs ?? 2800,
    abort.signal,
    async () => {
      const outcome = outcomes[state.attempts] ?? 'ok';
      state.attempts += 1;
      state.startsMs.push(clock.nowMs());
      if (outcome !== 'ok') throw new ProviderError('x', outcome);
      return 'answer';
    },
  );
  result.catch(() => undefined);
  return { clock, result, abort, state };
}

/** Moves on far enough for everything that is planned. */
async function run(clock: FakeClock): Promise<void> {
  for (let i = 0; i < 640; i++) {
    await settled();
    clock.advance(5);
  }
  await settled();
}

test('what passes is tried again after a pause, what stays is not', async () => {
  const passing = trying([down, down]);
  await run(passing.clock);
  assert.equal(await passing.result, 'answer');
  assert.deepEqual(passing.state, { attempts: 3, retries: 2, startsMs: [0, 25, 75] });
  const staying = trying([unopenable]);
  await assert.rejects(staying.result, ProviderError);
  assert.equal(staying.state.attempts, 1);
  const tooOften = trying([down, down, down]);
  await run(tooOften.clock);
  await assert.rejects(tooOften.result, /Down/);
  assert.equal(tooOften.state.attempts, 3);
});

test('who gives up between two attempts gets no third', async () => {
  const { result, abort, state } = trying([down]);
  await settled();
  abort.abort();
  await assert.rejects(
    result,
    (error) => error instanceof ProviderError && error.failure.class === 'cancelled',
  );
  assert.equal(state.attempts, 1);
});

test('no attempt begins when there is too little time for it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 10 }),
      fc.integer({ min: 0, max: 3000 }),
      async (jitter, endMs) => {
        let i = 0;
        const { clock, result, state } = trying(
          jitter.map(() => down),
          { attemptsMax: 10, endMs, random: () => jitter[i++ % jitter.length] ?? 0 },
        );
        await run(clock);
        await result.catch(() => undefined);
        assert.ok(state.startsMs.slice(1).every((startMs) => startMs + attemptLeastMs <= endMs));
        assert.equal(state.retries, state.attempts - 1);
      },
    ),
    { seed: 20261122, numRuns: 20 },
  );
});

test('a backend that is down gets no retries once the budget is spent; successes fill it again', async () => {
  const budget = createRetryBudget(20);
  assert.equal(budget.pay(true), 10);
  assert.equal(budget.pay(false), 5);
  assert.equal(budget.pay(true), 0, 'a timeout costs more than is left');
  assert.equal(budget.pay(false), 5);
  const spent = trying([down], { budget });
  await assert.rejects(spent.result, /Down/);
  assert.equal(spent.state.attempts, 1);
  budget.succeeded(10);
  const paid = trying([timedOut], { budget });
  await run(paid.clock);
  assert.equal(await paid.result, 'answer');
  assert.equal(budget.pay(true), 10, 'a retry that succeeded got its price back');
  for (let i = 0; i < 100; i++) budget.succeeded(0);
  assert.equal(budget.pay(true) + budget.pay(true), 20);
  assert.equal(budget.pay(false), 0, 'never more than its capacity');
});
