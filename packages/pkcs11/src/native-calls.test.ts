/** Goal: a token that hangs leaves threads to everybody else. Method: calls that end when the test says so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCallGate } from './native-calls.js';

for (const [threads, most] of [
  [undefined, 2],
  ['16', 8],
  ['1', 1],
  ['nonsense', 2],
] as const) {
  test(`with ${threads ?? 'the default number of'} threads, ${most} calls run at a time, in order`, async () => {
    const gate = createCallGate(threads);
    const started: number[] = [];
    const ends: (() => void)[] = [];
    const calls = Array.from({ length: 10 }, (_, index) =>
      gate.through(() => {
        started.push(index);
        return new Promise<void>((resolve) => ends.push(resolve));
      }),
    );
    for (let ended = 0; ended < 10; ended++) {
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(started, [...Array(Math.min(10, ended + most)).keys()]);
      ends[ended]?.();
    }
    await Promise.all(calls);
  });
}

test('a call that fails makes room too', async () => {
  const gate = createCallGate('2');
  await assert.rejects(gate.through(() => Promise.reject(new Error('failed'))));
  assert.equal(await gate.through(async () => 'done'), 'done');
});
