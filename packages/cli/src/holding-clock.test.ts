// Goal: what waits by this clock keeps the process until it is cancelled. Method: the timers that Node says it waits for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { holdingClock } from './holding-clock.js';

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

test('a wait keeps the process, and a cancelled one does not', () => {
  const before = timers();
  const cancel = holdingClock.schedule(60_000, () => undefined);
  assert.equal(timers(), before + 1);
  cancel();
  assert.equal(timers(), before);
});
