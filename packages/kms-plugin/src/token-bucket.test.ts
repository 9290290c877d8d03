/** The bucket never gives more than it says, and never starves who waits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { KmsPluginError } from './errors.js';
import { createFakeClock } from './testing/fake-clock.js';
import { createTokenBucket } from './token-bucket.js';

test('a burst goes at once, then one call per interval', () => {
  const clock = createFakeClock();
  const bucket = createTokenBucket({ perSecond: 10, burst: 3, clock });
  assert.deepEqual(
    [1, 2, 3, 4].map(() => bucket.tryTake()),
    [true, true, true, false],
  );
  assert.equal(bucket.waitMs(), 100);
  clock.advance(100);
  assert.equal(bucket.waitMs(), 0);
  assert.deepEqual([bucket.tryTake(), bucket.tryTake()], [true, false]);
  clock.advance(3_600_000);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => bucket.tryTake()),
    [true, true, true, false],
  );
});

test('at most burst + rate × time is taken, and waiting waitMs is always enough', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2000 }),
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 60 }),
      (perSecond, burst, pauses) => {
        const clock = createFakeClock();
        const bucket = createTokenBucket({ perSecond, burst, clock });
        let taken = 0;
        for (const pauseMs of pauses) {
          clock.advance(pauseMs);
          while (bucket.tryTake()) taken += 1;
          assert.ok(taken <= burst + (perSecond * clock.nowMs()) / 1000 + 1e-6);
          clock.advance(bucket.waitMs());
          assert.ok(bucket.tryTake());
          taken += 1;
        }
      },
    ),
    { seed: 20261122 },
  );
});

test('a rate that limits nothing or everything is refused', () => {
  const clock = createFakeClock();
  for (const [perSecond, burst] of [
    [0, 1],
    [-1, 1],
    [NaN, 1],
    [1, 0],
    [1, Infinity],
  ] as const) {
    assert.throws(() => createTokenBucket({ perSecond, burst, clock }), KmsPluginError);
  }
});
