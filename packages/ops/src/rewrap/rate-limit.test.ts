/** Goal: no more than the rate, and not less. Method: a clock that a test moves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRateLimit } from './rate-limit.js';

test('what is above the rate waits its turn', () => {
  let nowMs = 0;
  const delays: number[] = [];
  const clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    schedule: (delayMs: number) => {
      delays.push(delayMs);
      return () => undefined;
    },
  };
  const { signal } = new AbortController();
  const limit = createRateLimit(10, clock);
  assert.equal(limit(signal), undefined);
  for (let i = 0; i < 3; i++) void limit(signal);
  assert.deepEqual(delays, [100, 200, 300]);
  // What was owed is paid, and one more is there; an idle hour saves up no more than that.
  nowMs = 3_600_000;
  assert.equal(limit(signal), undefined);
  void limit(signal);
  assert.equal(delays.at(-1), 100);
  assert.equal(createRateLimit(undefined, clock)(signal), undefined);
});
