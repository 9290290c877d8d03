/** Goal: the write state follows the plugin as DESIGN §5 says. Method: a fake plugin under a fake clock. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createKmsV2Transformer, type Transformer } from '@waxseal/envelope';
import { pino } from 'pino';
import { startPolling } from './kms-v2-poll.js';
import { createKmsV2State, type KmsV2State } from './kms-v2-state.js';
import { createFakeClock, settle, type FakeClock } from './testing/fake-clock.js';
import { createFakeKms, type FakeKms } from './testing/fake-kms.js';

const storageKey = Buffer.from('/registry/secrets/default/db');
const value = Buffer.from('{"kind":"Secret"}');
const minute = 60_000;

interface Fixture {
  readonly kms: FakeKms;
  readonly clock: FakeClock;
  readonly state: KmsV2State;
  readonly transformer: Transformer;
  readonly invalid: string[];
  readonly abort: AbortController;
  readonly start: () => Promise<void>;
}

function fixture(): Fixture {
  const kms = createFakeKms();
  const clock = createFakeClock();
  const abort = new AbortController();
  const logger = pino({ enabled: false });
  const invalid: string[] = [];
  const service = kms.connectors.connectKmsV2({ endpoint: 'unix:///fake' });
  const state = createKmsV2State({
    providerName: 'fake',
    service,
    clock,
    randomBytes,
    logger,
    signal: abort.signal,
    metrics: {
      keyIdFromStatus: () => undefined,
      invalidKeyIdFromStatus: (_name, problem) => invalid.push(problem),
      dekGenerated: () => undefined,
    },
  });
  const transformer = createKmsV2Transformer({
    service,
    getState: state.current,
    randomBytes,
    nowMs: () => clock.nowMs(),
  });
  return {
    kms,
    clock,
    state,
    transformer,
    invalid,
    abort,
    start: () => startPolling(state, clock, logger, abort.signal),
  };
}

test('a healthy plugin: one Encrypt, a Status every minute, and writes for ever', async () => {
  const { kms, clock, state, transformer, start } = fixture();
  await start();
  assert.deepEqual(kms.calls, { status: 1, encrypt: 1, decrypt: 0 });
  const expiresAtMs = state.current()?.expiresAtMs ?? 0;
  assert.equal(expiresAtMs, clock.nowMs() + 3 * minute);
  await clock.advance(60 * minute);
  assert.deepEqual(kms.calls, { status: 61, encrypt: 1, decrypt: 0 });
  await transformer.transformToStorage(value, storageKey);
});

test('rotation: the next Status with another key id makes a new seed; old values read as stale', async () => {
  const { kms, clock, transformer, start } = fixture();
  await start();
  const stored = await transformer.transformToStorage(value, storageKey);
  kms.keyId = 'key-2';
  await clock.advance(minute - 1);
  assert.equal((await transformer.transformFromStorage(stored, storageKey)).stale, false);
  await clock.advance(1);
  assert.deepEqual(await transformer.transformFromStorage(stored, storageKey), { data: value, stale: true });
  const rewritten = await transformer.transformToStorage(value, storageKey);
  assert.deepEqual(await transformer.transformFromStorage(rewritten, storageKey), {
    data: value,
    stale: false,
  });
  assert.deepEqual(kms.calls, { status: 2, encrypt: 2, decrypt: 0 });
});

test('Encrypt with another key id than Status: no switch, the old state coasts, later Statuses try again', async () => {
  const { kms, clock, state, transformer, start } = fixture();
  await start();
  const before = state.current();
  kms.keyId = 'key-2';
  kms.encryptKeyId = 'key-1';
  await clock.advance(minute);
  assert.equal(state.current(), before);
  await assert.rejects(state.check(), {
    code: 'kms-unhealthy',
    message:
      /^kmsv2 Provider fake is not healthy, error: failed to rotate DEK uid=.*errGen=<nil>, statusKeyIDHash="sha256:/,
  });
  await transformer.transformToStorage(value, storageKey);
  assert.equal(kms.calls.encrypt, 2);
  await clock.advance(10_000);
  assert.equal(kms.calls.encrypt, 3);
  kms.encryptKeyId = undefined;
  await clock.advance(10_000);
  assert.equal(state.current()?.keyId, 'key-2');
  await state.check();
});

test('a plugin that goes away: writes for three minutes, reads for ever, recovery within ten seconds', async () => {
  const { kms, clock, transformer, start } = fixture();
  await start();
  const stored = await transformer.transformToStorage(value, storageKey);
  kms.failure = new Error('gone');
  await clock.advance(3 * minute);
  await transformer.transformToStorage(value, storageKey);
  // one poll at 60 s, then every ten seconds up to 180 s
  assert.equal(kms.calls.status, 1 + 1 + 12);
  await clock.advance(1);
  assert.throws(() => transformer.transformToStorage(value, storageKey), { code: 'write-state-expired' });
  await clock.advance(48 * 60 * minute);
  assert.deepEqual(await transformer.transformFromStorage(stored, storageKey), { data: value, stale: false });

  kms.failure = undefined;
  await clock.advance(10_000);
  await transformer.transformToStorage(value, storageKey);
  assert.equal(kms.calls.encrypt, 1, 'the same key id needs no new seed');
});

test('a plugin that is not there at start: no error, no writes, healthy within ten seconds of its coming', async () => {
  const { kms, clock, state, transformer, start } = fixture();
  kms.failure = new Error('not yet');
  await start();
  assert.equal(state.current(), undefined);
  await assert.rejects(state.check(), {
    message: 'failed to perform status section of the healthz check for KMS Provider fake, error: not yet',
  });
  assert.throws(() => transformer.transformToStorage(value, storageKey), { code: 'no-write-state' });
  kms.failure = undefined;
  await clock.advance(10_000);
  await state.check();
  await transformer.transformToStorage(value, storageKey);
});

test('healthz, version and key id are judged, and everything wrong is told', async () => {
  const { kms, clock, state, invalid } = fixture();
  await state.check();
  kms.healthz = 'key vault sealed';
  kms.version = 'v2beta1';
  kms.keyId = '';
  await clock.advance(20_000);
  await assert.rejects(state.check(), {
    message:
      'kmsv2 Provider fake is not healthy, error: [got unexpected healthz status: key vault sealed, ' +
      'KMSv2 API version should not change after the initial status response version v2, got v2beta1, ' +
      'got invalid KMSv2 KeyID hash "": keyID is empty]',
  });
  assert.deepEqual(invalid, ['empty']);
  kms.healthz = 'ok';
  kms.keyId = 'key-1';
  kms.version = 'v3';
  await clock.advance(3000);
  await assert.rejects(state.check(), { message: /expected KMSv2 API version v2, got v3$/ });
});

test('an unhealthy healthz still moves the expiry, as the reference does', async () => {
  const { kms, clock, state, start } = fixture();
  await start();
  kms.healthz = 'slow';
  await clock.advance(minute);
  assert.equal(state.current()?.expiresAtMs, clock.nowMs() + 3 * minute);
});

test('health checks: a good answer counts 20 s, a bad one 3 s, and those that come at once share a call', async () => {
  const { kms, clock, state } = fixture();
  await Promise.all([state.check(), state.check(), state.check()]);
  assert.equal(kms.calls.status, 1);
  await clock.advance(19_999);
  await state.check();
  assert.equal(kms.calls.status, 1);
  kms.failure = new Error('gone');
  await clock.advance(1);
  await assert.rejects(state.check());
  assert.equal(kms.calls.status, 2);
  kms.failure = undefined;
  await clock.advance(2999);
  await assert.rejects(state.check());
  await clock.advance(1);
  await state.check();
  assert.equal(kms.calls.status, 3);
});

test('closing ends the polls', async () => {
  const { kms, clock, start, abort } = fixture();
  await start();
  abort.abort();
  await clock.advance(10 * minute);
  assert.equal(kms.calls.status, 1);
  assert.equal(clock.pending(), 0);
  await settle();
});
