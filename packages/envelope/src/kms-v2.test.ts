/** Goal: the KMS is asked as rarely as possible, and stale and expiry follow the write state. KMS calls are counted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EnvelopeError } from './errors.js';
import { createKmsV2Transformer, DEK_SOURCE_TTL_MS, type KmsV2Options } from './kms-v2.js';
import { decodeEncryptedObject, encodeEncryptedObject } from './kms-v2-object.js';
import { createKmsV2WriteState, extendKmsV2WriteState, type KmsV2WriteState } from './kms-v2-write-state.js';
import { createBase64Kms, createCountingRandom } from './testing/vectors.js';
import type { Transformer } from './transformer.js';

const randomBytes = createCountingRandom();
const storageKey = Buffer.from('/registry/secrets/default/db');
const value = Buffer.from('{"kind":"Secret"}');

function newState(keyId: string, annotations = {}): KmsV2WriteState {
  const seed = randomBytes(32);
  const encryptedDekSource = Buffer.from(seed.toString('base64'));
  return createKmsV2WriteState({ seed, keyId, encryptedDekSource, annotations, uid: 'u', expiresAtMs: 1000 });
}

function create(state: KmsV2WriteState | undefined, options: Partial<KmsV2Options> = {}): Transformer {
  const service = createBase64Kms('key-1').v2;
  return createKmsV2Transformer({ service, getState: () => state, randomBytes, nowMs: () => 0, ...options });
}

function codeOf(code: string): (error: unknown) => boolean {
  return (error) => error instanceof EnvelopeError && error.code === code;
}

test('what this process wrote is read without asking the KMS', async () => {
  const kms = createBase64Kms('key-1');
  const transformer = create(newState('key-1'), { service: kms.v2 });
  const stored = await transformer.transformToStorage(value, storageKey);
  assert.deepEqual(await transformer.transformFromStorage(stored, storageKey), { data: value, stale: false });
  assert.equal(kms.calls.decrypt, 0);
});

test('a thousand cold reads at once ask once per DEK source', async () => {
  const kms = createBase64Kms('key-1');
  const states = [newState('key-1'), newState('key-1'), newState('key-1')];
  const stored = await Promise.all(
    Array.from({ length: 1000 }, async (_, i) => create(states[i % 3]).transformToStorage(value, storageKey)),
  );
  let misses = 0;
  let size = 0;
  const reader = create(states[0], {
    service: kms.v2,
    observer: {
      keyIdUsed: () => undefined,
      cacheMiss: () => misses++,
      cacheSize: (entries) => (size = entries),
    },
  });
  const opened = await Promise.all(stored.map(async (one) => reader.transformFromStorage(one, storageKey)));
  for (const one of opened) assert.deepEqual(one, { data: value, stale: false });
  assert.equal(kms.calls.decrypt, 3);
  assert.equal(misses, 1000);
  assert.equal(size, 3);

  for (const one of stored) await reader.transformFromStorage(one, storageKey);
  assert.equal(kms.calls.decrypt, 3);
});

test('annotations in another order are the same DEK source', async () => {
  const annotations = { 'a.example.com': Buffer.from('1'), 'b.example.com': Buffer.alloc(2000, 2) };
  const kms = createBase64Kms('key-1', annotations);
  const sorted = await create(newState('key-1', annotations)).transformToStorage(value, storageKey);
  const object = decodeEncryptedObject(sorted);
  const swapped = Buffer.concat([
    encodeEncryptedObject({ ...object, annotations: { 'b.example.com': annotations['b.example.com'] } }),
    // field 4, one entry {1: "a.example.com", 2: "1"}
    Buffer.from([0x22, 18, 0x0a, 13, ...Buffer.from('a.example.com'), 0x12, 1, 0x31]),
  ]);
  const reader = create(undefined, { service: kms.v2 });
  for (const stored of [sorted, swapped, sorted, swapped]) {
    assert.deepEqual(await reader.transformFromStorage(stored, storageKey), { data: value, stale: false });
  }
  assert.equal(kms.calls.decrypt, 1);
});

test('a failed call is told to everybody who waits, and the next read asks again', async () => {
  let fail = true;
  let calls = 0;
  const kms = createBase64Kms('key-1');
  const service: KmsV2Options['service'] = {
    async decrypt(uid, request) {
      calls++;
      if (fail) throw new Error('the plugin is away');
      return kms.v2.decrypt(uid, request);
    },
  };
  const stored = await create(newState('key-1')).transformToStorage(value, storageKey);
  const reader = create(undefined, { service });
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10 }, async () => reader.transformFromStorage(stored, storageKey)),
  );
  const reasons = outcomes.map((o) => (o.status === 'rejected' ? (o.reason as Error).message : 'opened'));
  assert.deepEqual(new Set(reasons), new Set(['failed to decrypt DEK, error: the plugin is away']));
  assert.equal(calls, 1);
  fail = false;
  assert.deepEqual((await reader.transformFromStorage(stored, storageKey)).data, value);
  assert.equal(calls, 2);
});

test('a value under another key id than the write state’s is stale', async () => {
  const old = newState('key-1');
  const stored = await create(old).transformToStorage(value, storageKey);
  const rotated = create(newState('key-2'));
  assert.deepEqual(await rotated.transformFromStorage(stored, storageKey), { data: value, stale: true });
  assert.deepEqual(await create(undefined).transformFromStorage(stored, storageKey), {
    data: value,
    stale: false,
  });
});

test('writes stop when the state expires, go on when it is extended; reads never stop', async () => {
  let nowMs = 1000;
  let state: KmsV2WriteState | undefined = newState('key-1');
  const transformer = create(undefined, { getState: () => state, nowMs: () => nowMs });
  const stored = await transformer.transformToStorage(value, storageKey);
  nowMs = 1001;
  assert.throws(() => transformer.transformToStorage(value, storageKey), {
    code: 'write-state-expired',
    message:
      /^encryptedDEKSource with keyID hash "sha256:[0-9a-f]{64}" expired at 1970-01-01T00:00:01Z \(current/,
  });
  assert.deepEqual(await transformer.transformFromStorage(stored, storageKey), { data: value, stale: false });
  state = extendKmsV2WriteState(state, 2000);
  await transformer.transformToStorage(value, storageKey);
  state = undefined;
  assert.throws(() => transformer.transformToStorage(value, storageKey), codeOf('no-write-state'));
});

test('an unwrapped source is forgotten a day after its last write, when another one comes', async () => {
  let nowMs = 0;
  const kms = createBase64Kms('key-1');
  const [a, b] = [newState('key-1'), newState('key-1')];
  const storedA = await create(a).transformToStorage(value, storageKey);
  const storedB = await create(b).transformToStorage(value, storageKey);
  const reader = create(undefined, { service: kms.v2, nowMs: () => nowMs });
  await reader.transformFromStorage(storedA, storageKey);
  nowMs = DEK_SOURCE_TTL_MS - 1;
  await reader.transformFromStorage(storedA, storageKey);
  assert.equal(kms.calls.decrypt, 1);
  nowMs = DEK_SOURCE_TTL_MS;
  await reader.transformFromStorage(storedB, storageKey);
  assert.equal(kms.calls.decrypt, 2);
  await reader.transformFromStorage(storedB, storageKey);
  await reader.transformFromStorage(storedA, storageKey);
  assert.equal(kms.calls.decrypt, 3);
});

test('a value opens only under its own storage key, also when its derived key is cached', async () => {
  const transformer = create(newState('key-1'));
  const stored = await transformer.transformToStorage(value, storageKey);
  const other = Buffer.from('/registry/secrets/default/other');
  for (let i = 0; i < 2; i++) {
    assert.deepEqual((await transformer.transformFromStorage(stored, storageKey)).data, value);
    assert.throws(() => transformer.transformFromStorage(stored, other), codeOf('decryption-failed'));
  }
});

test('a rewritten value at the same storage key replaces its derived key', async () => {
  const transformer = create(newState('key-1'), { maxDerivedKeys: 2 });
  for (let i = 0; i < 20; i++) {
    const key = Buffer.from(`/registry/secrets/default/${i % 4}`);
    const data = Buffer.from([i]);
    const stored = await transformer.transformToStorage(data, key);
    assert.deepEqual((await transformer.transformFromStorage(stored, key)).data, data);
    assert.deepEqual((await transformer.transformFromStorage(stored, key)).data, data);
  }
});

test('every write has its own info and nonce', async () => {
  const transformer = create(newState('key-1'));
  const heads = new Set<string>();
  for (let i = 0; i < 2000; i++) {
    const { encryptedData } = decodeEncryptedObject(await transformer.transformToStorage(value, storageKey));
    heads.add(encryptedData.toString('hex', 0, 44));
  }
  assert.equal(heads.size, 2000);
});

test('a KMS that returns a DEK of a wrong length is told apart', async () => {
  const stored = await create(newState('key-1')).transformToStorage(value, storageKey);
  const reader = create(undefined, { service: { decrypt: () => Promise.resolve(Buffer.alloc(31)) } });
  await assert.rejects(async () => reader.transformFromStorage(stored, storageKey), {
    code: 'invalid-key',
    message: 'invalid seed length 31 used for key generation',
  });
});
