/** One key's guard: retries, line, breaker and deadline work together, and nothing is left behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BreakerState } from './circuit-breaker.js';
import { deadlineOf } from './deadline.js';
import { KmsPluginError, ProviderError, timedOut, tooImpatient, unopenable, type Failure } from './errors.js';
import { createGuard, type CallLimits, type Guard } from './guard.js';
import type { Operation } from './key-health.js';
import { createFakeClock, type FakeClock } from './testing/fake-clock.js';
import { settled } from './testing/settled.js';

const down: Failure = { class: 'unavailable', code: 'unavailable', advice: 'Down.' };
const busy: Failure = { class: 'throttled', code: 'resource_exhausted', advice: 'Busy.' };

interface Guarding {
  readonly clock: FakeClock;
  readonly guard: Guard;
  readonly seen: { retries: number; limited: number; breakers: string[]; shortCircuited: number };
}

function guarding(limits: CallLimits = {}): Guarding {
  const clock = createFakeClock();
  const seen: Guarding['seen'] = { retries: 0, limited: 0, breakers: [], shortCircuited: 0 };
  const guard = createGuard({
    clock,
    random: () => 0.5,
    limits,
    observer: {
      retried: () => {
        seen.retries += 1;
      },
      rateLimited: () => {
        seen.limited += 1;
      },
      breakerChanged: (operation: Operation, state: BreakerState) => {
        seen.breakers.push(`${operation} ${state}`);
      },
      shortCircuited: () => {
        seen.shortCircuited += 1;
      },
    },
  });
  return { clock, guard, seen };
}

const deadline = deadlineOf(2800, {});
const failsWith = (failure: Failure) => (): Promise<never> => Promise.reject(new ProviderError('x', failure));
const ok = (): Promise<string> => Promise.resolve('ok');
const hang = (): Promise<never> => new Promise(() => {});

/** The class and code a promise fails with, or its value. */
function outcome(result: Promise<unknown>): Promise<unknown> {
  return result.catch((error: unknown) =>
    error instanceof ProviderError ? `${error.failure.class} ${error.failure.code}` : error,
  );
}

/** Moves on in small steps, as time does. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 10) {
    await settled();
    clock.advance(Math.min(10, left));
  }
  await settled();
}

test('a call that fails for a moment is made again, throttled or unreachable', async () => {
  for (const failure of [down, busy]) {
    const { guard, clock, seen } = guarding();
    let attempts = 0;
    const result = guard.run('decrypt', 'decrypt', deadline, undefined, () =>
      ++attempts < 3 ? failsWith(failure)() : ok(),
    );
    await pass(clock, 500);
    assert.equal(await result, 'ok');
    assert.equal(seen.retries, 2);
    assert.equal(guard.inFlight(), 0);
  }
});

test('probes and what stays wrong are not made again', async () => {
  const { guard, seen } = guarding();
  assert.equal(
    await outcome(guard.run('decrypt', 'probe', deadline, undefined, failsWith(down))),
    'unavailable unavailable',
  );
  assert.equal(
    await outcome(guard.run('decrypt', 'decrypt', deadline, undefined, failsWith(unopenable))),
    'corrupt invalid_argument',
  );
  assert.equal(seen.retries, 0);
});

test('a backend that hangs and heeds no signal keeps no place', async () => {
  const { guard, clock } = guarding({ inFlightMax: 1, attemptsMax: 1 });
  const result = outcome(guard.run('encrypt', 'encrypt', deadline, undefined, hang));
  await settled();
  assert.equal(guard.inFlight(), 1);
  await pass(clock, 2800);
  assert.equal(await result, 'unavailable deadline_exceeded');
  assert.equal(guard.inFlight(), 0);
  assert.equal(await guard.run('encrypt', 'encrypt', deadline, undefined, ok), 'ok');
});

test('who gets no turn in time has met no failing backend', async () => {
  const { guard, clock, seen } = guarding({ inFlightMax: 1, queueMax: 1, breakerFailuresMax: 2 });
  let finish = (): void => {};
  const first = guard.run('encrypt', 'encrypt', deadlineOf(9000, {}), undefined, () => {
    return new Promise<string>((resolve) => {
      finish = () => resolve('late');
    });
  });
  await settled();
  const second = outcome(guard.run('decrypt', 'decrypt', deadline, undefined, ok));
  await settled();
  assert.equal(guard.queued('decrypt'), 1);
  assert.equal(
    await outcome(guard.run('decrypt', 'decrypt', deadline, undefined, ok)),
    'throttled resource_exhausted',
    'the line is full',
  );
  await pass(clock, 2800);
  assert.equal(await second, 'throttled resource_exhausted');
  finish();
  assert.equal(await first, 'late');
  assert.deepEqual(seen.breakers, []);
  assert.deepEqual([guard.inFlight(), guard.queued('decrypt')], [0, 0]);
});

test('an Encrypt that cannot be reached opens its own breaker and not that of Decrypt', async () => {
  const { guard, clock, seen } = guarding({ attemptsMax: 1, breakerFailuresMax: 2 });
  for (let i = 0; i < 2; i++)
    await outcome(guard.run('encrypt', 'encrypt', deadline, undefined, failsWith(down)));
  let asked = 0;
  const ask = (): Promise<string> => {
    asked += 1;
    return ok();
  };
  assert.equal(
    await outcome(guard.run('encrypt', 'encrypt', deadline, undefined, ask)),
    'unavailable unavailable',
  );
  assert.deepEqual([asked, seen.shortCircuited], [0, 1]);
  assert.equal(await guard.run('decrypt', 'decrypt', deadline, undefined, ask), 'ok');
  clock.advance(500);
  assert.equal(await guard.run('encrypt', 'encrypt', deadline, undefined, ask), 'ok');
  assert.deepEqual(seen.breakers, ['encrypt open', 'encrypt half-open', 'encrypt closed']);
});

test('the rate limit counts every attempt', async () => {
  const { guard, clock, seen } = guarding({ qpsLimit: 10, burstLimit: 2 });
  const startsMs: number[] = [];
  const calls = Array.from({ length: 5 }, () =>
    guard.run('encrypt', 'encrypt', deadline, undefined, () => {
      startsMs.push(clock.nowMs());
      return ok();
    }),
  );
  await pass(clock, 400);
  await Promise.all(calls);
  assert.deepEqual(startsMs, [0, 0, 100, 200, 300]);
  assert.equal(seen.limited, 3, 'whoever waits is counted, also behind others');
});

test('limits under which no call would ever go are refused', () => {
  const refused: readonly CallLimits[] = [
    { inFlightMax: 0 },
    { queueMax: -1 },
    { attemptsMax: 0 },
    { attemptsMax: 1.5 },
    { retryTokenCapacity: -1 },
    { breakerFailuresMax: NaN },
    { qpsLimit: 0 },
    { qpsLimit: 5, burstLimit: 0 },
  ];
  for (const limits of refused) {
    assert.throws(
      () => guarding(limits),
      (error) => error instanceof KmsPluginError && error.code === 'invalid_options',
      JSON.stringify(limits),
    );
  }
});

test('deadlines lie inside what the caller waits', () => {
  assert.deepEqual(deadlineOf(2800, {}), { timeoutMs: 2800, failure: timedOut });
  assert.deepEqual(deadlineOf(2800, { timeoutMs: Infinity }), { timeoutMs: 2800, failure: timedOut });
  assert.deepEqual(deadlineOf(2800, { timeoutMs: 3000 }), { timeoutMs: 2800, failure: timedOut });
  assert.deepEqual(deadlineOf(2800, { timeoutMs: 1000 }), { timeoutMs: 900, failure: timedOut });
  assert.deepEqual(deadlineOf(2800, { timeoutMs: 100 }), { timeoutMs: 90, failure: tooImpatient });
  assert.equal(deadlineOf(2800, { timeoutMs: -5 }).timeoutMs, 0);
});
