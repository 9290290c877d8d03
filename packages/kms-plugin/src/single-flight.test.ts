/** Equal Decrypts: one call, one plaintext each, and nobody waits longer than it can. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deadlineOf } from './deadline.js';
import { ProviderError } from './errors.js';
import { createSingleFlight } from './single-flight.js';
import { createFakeClock } from './testing/fake-clock.js';
import { settled } from './testing/settled.js';

const longestMs = 2800;
const patient = deadlineOf(longestMs, {});

test('every waiter owns its plaintext, and the call is made again after it has landed', async () => {
  const flights = createSingleFlight(createFakeClock(), longestMs);
  let calls = 0;
  const start = async (): Promise<Buffer> => {
    calls += 1;
    await settled();
    return Buffer.from('dek');
  };
  const runs = [1, 2, 3].map(() => flights.run('a', start, patient));
  assert.deepEqual(
    runs.map(({ shared }) => shared),
    [false, true, true],
  );
  const buffers = await Promise.all(runs.map(({ result }) => result));
  for (const buffer of buffers) {
    assert.equal(buffer.toString(), 'dek');
    buffer.fill(0);
  }
  assert.equal(calls, 1);
  assert.equal(flights.run('a', start, patient).shared, false);
});

test('who waits less long gives up alone, and leaves no plaintext', async () => {
  const clock = createFakeClock();
  const flights = createSingleFlight(clock, longestMs);
  const plaintext = Buffer.from('dek');
  let land = (): void => {};
  const flight = (): Promise<Buffer> =>
    new Promise((resolve) => {
      land = () => resolve(plaintext);
    });
  const impatient = flights.run('a', flight, deadlineOf(longestMs, { timeoutMs: 1000 })).result;
  const other = flights.run('a', flight, patient).result;
  clock.advance(900);
  await assert.rejects(
    impatient,
    (error) => error instanceof ProviderError && error.failure.code === 'deadline_exceeded',
  );
  land();
  const got = await other;
  assert.equal(got.toString(), 'dek');
  assert.ok(got === plaintext || plaintext.every((byte) => byte === 0));
});

test('a flight that fails fails for all of its waiters', async () => {
  const flights = createSingleFlight(createFakeClock(), longestMs);
  const fail = (): Promise<Buffer> => Promise.reject(new Error('no'));
  const waits = [patient, deadlineOf(longestMs, { timeoutMs: 500 })].map(
    (deadline) => flights.run('a', fail, deadline).result,
  );
  for (const wait of waits) await assert.rejects(wait, /no/);
});
