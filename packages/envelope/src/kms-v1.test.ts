/** Goal: DEKs are unwrapped once and forgotten in turn; values of clusters before 1.25 open and are stale. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAesCbcTransformer } from './aes-cbc.js';
import { createKmsV1Transformer } from './kms-v1.js';
import { createBase64Kms, createCountingRandom } from './testing/vectors.js';
import type { Opened } from './transformer.js';

const randomBytes = createCountingRandom();
const storageKey = Buffer.from('/registry/secrets/default/db');
const value = Buffer.from('{"kind":"Secret"}');

test('every write wraps a new DEK and its reads need no call', async () => {
  const kms = createBase64Kms('');
  const transformer = createKmsV1Transformer({ service: kms.v1, cacheSize: 10, randomBytes });
  const a = await transformer.transformToStorage(value, storageKey);
  const b = await transformer.transformToStorage(value, storageKey);
  assert.notDeepEqual(a.subarray(0, 46), b.subarray(0, 46));
  for (const stored of [a, b]) {
    const opened = await transformer.transformFromStorage(stored, storageKey);
    assert.deepEqual(opened, { data: value, stale: false });
  }
  assert.deepEqual(kms.calls, { encrypt: 2, decrypt: 0 });
});

test('the cache drops the DEK that was not used longest; simultaneous reads of one DEK share a call', async () => {
  const kms = createBase64Kms('');
  const fills: number[] = [];
  let misses = 0;
  const transformer = createKmsV1Transformer({
    service: kms.v1,
    cacheSize: 2,
    randomBytes,
    observer: {
      arrival: () => undefined,
      cacheMiss: () => misses++,
      cacheFill: (fraction) => void fills.push(fraction),
    },
  });
  const [a, b] = [
    await transformer.transformToStorage(value, storageKey),
    await transformer.transformToStorage(value, storageKey),
  ];
  await transformer.transformFromStorage(a, storageKey);
  const c = await transformer.transformToStorage(value, storageKey);
  await transformer.transformFromStorage(a, storageKey);
  await transformer.transformFromStorage(c, storageKey);
  assert.equal(kms.calls.decrypt, 0);
  await Promise.all(Array.from({ length: 50 }, async () => transformer.transformFromStorage(b, storageKey)));
  assert.equal(kms.calls.decrypt, 1);
  assert.equal(misses, 50);
  assert.deepEqual(fills, [0.5, 1, 1, 1]);
});

test('a negative cache size asks for every read', async () => {
  const kms = createBase64Kms('');
  const transformer = createKmsV1Transformer({ service: kms.v1, cacheSize: -1, randomBytes });
  const stored = await transformer.transformToStorage(value, storageKey);
  await transformer.transformFromStorage(stored, storageKey);
  await transformer.transformFromStorage(stored, storageKey);
  assert.deepEqual(kms.calls, { encrypt: 1, decrypt: 2 });
});

test('AES-CBC values of old clusters open and are stale', async () => {
  const kms = createBase64Kms('');
  const dek = randomBytes(32);
  const wrapped = Buffer.from(dek.toString('base64'));
  const sealed = await createAesCbcTransformer({ key: dek, randomBytes }).transformToStorage(
    value,
    storageKey,
  );
  const stored = Buffer.concat([Buffer.from([0, wrapped.length]), wrapped, sealed]);
  const transformer = createKmsV1Transformer({ service: kms.v1, cacheSize: 10, randomBytes });
  assert.deepEqual(await transformer.transformFromStorage(stored, storageKey), { data: value, stale: true });
});

test('a KMS that fails, or wraps to more than fits, fails the write or read with its reason', async () => {
  const away = createKmsV1Transformer({
    service: {
      encrypt: () => Promise.reject(new Error('the plugin is away')),
      decrypt: () => Promise.reject(new Error('the plugin is away')),
    },
    cacheSize: 10,
    randomBytes,
  });
  const failure = { code: 'kms-failed', message: 'the plugin is away' };
  await assert.rejects(async () => away.transformToStorage(value, storageKey), failure);
  await assert.rejects(async () => away.transformFromStorage(Buffer.from([0, 1, 9]), storageKey), failure);

  const huge = createKmsV1Transformer({
    service: {
      encrypt: () => Promise.resolve(Buffer.alloc(65_536)),
      decrypt: () => Promise.reject(new Error()),
    },
    cacheSize: 10,
    randomBytes,
  });
  await assert.rejects(async () => huge.transformToStorage(value, storageKey), { code: 'limit-exceeded' });
});

test('a value shorter than its length field says is malformed', () => {
  const transformer = createKmsV1Transformer({ service: createBase64Kms('').v1, cacheSize: 10, randomBytes });
  for (const body of [Buffer.alloc(0), Buffer.from([0]), Buffer.from([0, 2, 1]), Buffer.from([255, 255])]) {
    assert.throws((): Opened | Promise<Opened> => transformer.transformFromStorage(body, storageKey), {
      code: 'malformed',
      message: /failed to read uint16 length prefixed data$/,
    });
  }
});
