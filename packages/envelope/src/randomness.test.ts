/** Goal: no random byte is given out twice, and request uids are UUIDs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandomFill, newRequestUid } from './randomness.js';

test('the pool gives every byte of its source once, in order, and nothing else', () => {
  let next = 0;
  const fill = createRandomFill(
    (sizeBytes) => Buffer.from(Array.from({ length: sizeBytes }, () => next++)),
    16,
  );
  const got: number[] = [];
  for (const size of [5, 5, 5, 5, 20, 3]) {
    const target = Buffer.alloc(size + 2, 0xee);
    fill(target, 1, size + 1);
    assert.deepEqual([target[0], target[size + 1]], [0xee, 0xee]);
    got.push(...target.subarray(1, size + 1));
  }
  assert.equal(new Set(got).size, got.length);
  assert.deepEqual(
    got,
    got.toSorted((a, b) => a - b),
  );
});

test('a request uid is a version 4 UUID', () => {
  const uid = newRequestUid((sizeBytes) => Buffer.alloc(sizeBytes, 0xff));
  assert.equal(uid, 'ffffffff-ffff-4fff-bfff-ffffffffffff');
});
