/** Goal: the providers with a key in the configuration fail clearly, and round-trip whatever they are given. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createAesCbcTransformer } from './aes-cbc.js';
import { createAesGcmTransformer } from './aes-gcm.js';
import { createIdentityTransformer } from './identity.js';
import { createSecretboxTransformer } from './secretbox.js';
import { createCountingRandom, createStaticProvider } from './testing/vectors.js';

const randomBytes = createCountingRandom();
const storageKey = Buffer.from('/registry/secrets/default/db');
const key = randomBytes(32);
const otherKey = randomBytes(32);

test('property: every provider opens what it sealed, whatever the value and storage key', async () => {
  for (const provider of ['aesgcm', 'aescbc', 'secretbox'] as const) {
    const transformer = createStaticProvider(provider, 'key:with:colons', key, randomBytes);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.string(), async (array, name) => {
        const data = Buffer.from(array);
        const stored = await transformer.transformToStorage(data, Buffer.from(name));
        const opened = await transformer.transformFromStorage(stored, Buffer.from(name));
        assert.deepEqual(opened, { data, stale: false });
      }),
      { numRuns: 100 },
    );
  }
});

test('keys of other lengths are refused', () => {
  for (const length of [0, 15, 17, 31, 33]) {
    const options = { key: Buffer.alloc(length), randomBytes };
    for (const create of [createAesGcmTransformer, createAesCbcTransformer, createSecretboxTransformer]) {
      assert.throws(() => create(options), { code: 'invalid-key' });
    }
  }
  assert.throws(() => createSecretboxTransformer({ key: Buffer.alloc(16), randomBytes }), {
    message: 'expected key size 32 for secretbox provider, got 16',
  });
});

test('a provider keeps its key when the caller wipes it', async () => {
  for (const create of [createAesGcmTransformer, createAesCbcTransformer, createSecretboxTransformer]) {
    const mine = Buffer.from(key);
    const transformer = create({ key: mine, randomBytes });
    mine.fill(0);
    const stored = await transformer.transformToStorage(Buffer.from('x'), storageKey);
    const opened = await create({ key, randomBytes }).transformFromStorage(stored, storageKey);
    assert.equal(opened.data.toString(), 'x');
  }
});

test('failures use the words of the reference', async () => {
  const cases: readonly [typeof createAesGcmTransformer, Buffer | undefined, string][] = [
    [createAesGcmTransformer, Buffer.alloc(11), 'the stored data was shorter than the required size'],
    [createAesGcmTransformer, Buffer.alloc(27), 'cipher: message authentication failed'],
    [createAesGcmTransformer, undefined, 'cipher: message authentication failed'],
    [createAesCbcTransformer, Buffer.alloc(15), 'the stored data was shorter than the required size'],
    [createAesCbcTransformer, Buffer.alloc(17), 'the stored data is not a multiple of the block size'],
    [createAesCbcTransformer, Buffer.alloc(16), 'invalid PKCS7 data (empty or not padded)'],
    [createSecretboxTransformer, Buffer.alloc(39), 'the stored data was shorter than the required size'],
    [createSecretboxTransformer, Buffer.alloc(40), 'output array was not large enough for encryption'],
    [createSecretboxTransformer, undefined, 'output array was not large enough for encryption'],
  ];
  for (const [create, bytes, message] of cases) {
    const foreign = await create({ key: otherKey, randomBytes }).transformToStorage(
      Buffer.from('x'),
      storageKey,
    );
    const transformer = create({ key, randomBytes });
    assert.throws(() => transformer.transformFromStorage(bytes ?? foreign, storageKey), { message });
  }
});

test('aescbc: padding that does not repeat its length is invalid', async () => {
  const transformer = createAesCbcTransformer({ key, randomBytes });
  const stored = await transformer.transformToStorage(Buffer.alloc(13), storageKey);
  // The padding is 3, 3, 3: a flipped IV bit makes the first of them a 2.
  stored[13] = (stored[13] as number) ^ 1;
  assert.throws(() => transformer.transformFromStorage(stored, storageKey), {
    message: 'invalid padding on input',
  });
});

test('identity refuses only what begins with the reserved prefix', () => {
  const identity = createIdentityTransformer();
  for (const text of ['', 'k8s:', 'k8s:enc', '{"k8s:enc:":1}', 'k8s\0..']) {
    assert.deepEqual(identity.transformFromStorage(Buffer.from(text), storageKey), {
      data: Buffer.from(text),
      stale: false,
    });
  }
  assert.throws(() => identity.transformFromStorage(Buffer.from('k8s:enc:'), storageKey), {
    code: 'encrypted-data',
    message: 'identity transformer tried to read encrypted data',
  });
});
