/** Probes come when they should, one at a time, and tell the truth. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { Backend } from './backend.js';
import { ProviderError, type Failure } from './errors.js';
import { createKeyHealth, type KeyHealth } from './key-health.js';
import { startProber, type Prober } from './prober.js';
import { createSnapshot } from './snapshot.js';
import { createFakeClock, type FakeClock } from './testing/fake-clock.js';

const down: Failure = { class: 'unavailable', code: 'unavailable', advice: 'Down.' };

interface Probing {
  readonly clock: FakeClock;
  readonly health: KeyHealth;
  readonly prober: Prober;
  readonly state: {
    calls: number;
    failure: Failure | undefined;
    opened: (plaintext: Buffer) => Buffer;
    readonly unwrapped: Buffer[];
  };
}

function probing(): Probing {
  const clock = createFakeClock();
  const health = createKeyHealth(() => {});
  const state: Probing['state'] = {
    calls: 0,
    failure: undefined,
    opened: (plaintext) => plaintext,
    unwrapped: [],
  };
  const backend: Backend = {
    snapshot: () => createSnapshot({ keyId: 'k' }),
    encrypt: async (_snapshot, plaintext) => {
      state.calls += 1;
      if (state.failure !== undefined) {
        const error = new ProviderError('x', state.failure);
        health.failed('encrypt', clock.nowMs(), error);
        throw error;
      }
      health.succeeded('encrypt', clock.nowMs());
      return { ciphertext: Buffer.from(plaintext), annotations: {} };
    },
    forget: () => {},
    decrypt: async ({ ciphertext }) => {
      state.unwrapped.push(Buffer.from(ciphertext));
      health.succeeded('decrypt', clock.nowMs());
      return state.opened(ciphertext);
    },
  };
  const prober = startProber({ backend, health, clock, randomBytes, intervalMs: 60_000, retryMs: 5000 });
  return { clock, health, prober, state };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a healthy key is tried every interval, a failing one every retry', async () => {
  const { clock, prober, state } = probing();
  await prober.firstProbe;
  assert.equal(state.calls, 1);
  clock.advance(59_999);
  await settled();
  assert.equal(state.calls, 1);
  state.failure = down;
  clock.advance(1);
  await settled();
  assert.equal(state.calls, 2);
  clock.advance(5000);
  await settled();
  assert.equal(state.calls, 3);
  state.failure = undefined;
  clock.advance(5000);
  await settled();
  clock.advance(5000);
  await settled();
  assert.equal(state.calls, 4);
  prober.stop();
  clock.advance(1_000_000);
  await settled();
  assert.equal(state.calls, 4);
});

test('a failure that a call finds brings the next probe near', async () => {
  const { clock, prober, state } = probing();
  await prober.firstProbe;
  clock.advance(1000);
  prober.hasten();
  prober.hasten();
  clock.advance(4999);
  await settled();
  assert.equal(state.calls, 1);
  clock.advance(1);
  await settled();
  assert.equal(state.calls, 2);
  state.failure = down;
  await prober.probe();
  clock.advance(4999);
  prober.hasten();
  clock.advance(1);
  await settled();
  assert.equal(state.calls, 4, 'one that is near is not put off');
  prober.stop();
  prober.hasten();
  clock.advance(1_000_000);
  await settled();
  assert.equal(state.calls, 4);
});

test('while the key does not wrap, what an earlier probe wrapped is unwrapped', async () => {
  const { prober, state } = probing();
  state.failure = down;
  await prober.firstProbe;
  state.unwrapped.length = 0;
  state.failure = undefined;
  await prober.probe();
  assert.equal(state.unwrapped.length, 1);
  state.failure = down;
  await prober.probe();
  assert.equal(state.unwrapped.length, 2);
  assert.deepEqual(state.unwrapped[1], state.unwrapped[0]);
  prober.stop();
});

test('probes asked for at once are one', async () => {
  const { prober, state } = probing();
  await Promise.all([prober.probe(), prober.probe(), prober.firstProbe]);
  assert.equal(state.calls, 1);
  await prober.probe();
  assert.equal(state.calls, 2);
  prober.stop();
});

test('a key that opens to something else is failing', async () => {
  const { health, prober, state } = probing();
  await prober.firstProbe;
  assert.equal(health.summary(), 'ok');
  state.opened = () => Buffer.alloc(32);
  await prober.probe();
  assert.match(health.summary(), /decrypt: probe came back changed/);
  prober.stop();
});
