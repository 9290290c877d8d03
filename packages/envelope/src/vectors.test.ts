/** Goal: values the reference implementation wrote open here. Method: every vector of test/vectors. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createKmsV1Transformer } from './kms-v1.js';
import { createKmsV2Transformer } from './kms-v2.js';
import { decodeEncryptedObject, DEK_SOURCE_TYPE, encodeEncryptedObject } from './kms-v2-object.js';
import { createPrefixTransformer } from './prefix.js';
import {
  createBase64Kms,
  createCountingRandom,
  createStaticProvider,
  fromBase64,
  readKmsVectors,
  readStaticVectors,
  type KmsVector,
} from './testing/vectors.js';
import type { Transformer } from './transformer.js';

const randomBytes = createCountingRandom();

test('every value of a static provider opens, and what is written has the same shape and opens', async () => {
  const vectors = readStaticVectors();
  assert.ok(vectors.length >= 200);
  for (const vector of vectors) {
    const provider = createStaticProvider(
      vector.provider,
      vector.keyName,
      fromBase64(vector.keyBase64),
      randomBytes,
    );
    const authenticatedData = Buffer.from(vector.storageKey);
    const stored = fromBase64(vector.storedBase64);
    const plaintext = fromBase64(vector.plaintextBase64);
    const opened = await provider.transformFromStorage(stored, authenticatedData);
    assert.deepEqual(opened, { data: plaintext, stale: false });

    const written = await provider.transformToStorage(plaintext, authenticatedData);
    assert.equal(written.length, stored.length);
    assert.notDeepEqual(written, stored);
    assert.deepEqual((await provider.transformFromStorage(written, authenticatedData)).data, plaintext);
  }
});

function kmsProvider(vector: KmsVector): Transformer {
  const kms = createBase64Kms(vector.kmsKeyId ?? '', annotationsOf(vector));
  const transformer =
    vector.provider === 'kms-v1'
      ? createKmsV1Transformer({ service: kms.v1, cacheSize: 10, randomBytes })
      : createKmsV2Transformer({ service: kms.v2, getState: () => undefined, randomBytes, nowMs: () => 0 });
  return createPrefixTransformer({ transformers: [{ prefix: prefixOf(vector), transformer }] });
}

function prefixOf(vector: KmsVector): string {
  return `k8s:enc:kms:${vector.provider === 'kms-v1' ? 'v1' : 'v2'}:${vector.keyName}:`;
}

function annotationsOf(vector: KmsVector): Record<string, Buffer> {
  return Object.fromEntries(
    Object.entries(vector.annotationsBase64 ?? {}).map(([key, value]) => [key, fromBase64(value)]),
  );
}

test('every value of a KMS provider opens', async () => {
  const vectors = readKmsVectors();
  assert.ok(vectors.length >= 100);
  for (const vector of vectors) {
    const opened = await kmsProvider(vector).transformFromStorage(
      fromBase64(vector.storedBase64),
      Buffer.from(vector.storageKey),
    );
    assert.deepEqual(opened, { data: fromBase64(vector.plaintextBase64), stale: false });
  }
});

test('the EncryptedObject of every KMS v2 value decodes to its parts and encodes to the same bytes', () => {
  const vectors = readKmsVectors().filter((v) => v.provider === 'kms-v2');
  assert.ok(vectors.length >= 60);
  for (const vector of vectors) {
    const body = fromBase64(vector.storedBase64).subarray(prefixOf(vector).length);
    const object = decodeEncryptedObject(body);
    assert.equal(object.keyId, vector.kmsKeyId);
    assert.deepEqual(object.encryptedDekSource, fromBase64(vector.encryptedDekSourceBase64));
    assert.equal(
      object.encryptedDekSourceType,
      DEK_SOURCE_TYPE[vector.dekSourceType as keyof typeof DEK_SOURCE_TYPE],
    );
    assert.deepEqual({ ...object.annotations }, annotationsOf(vector));
    // A writer may leave annotations in any order; with one or none there is only one.
    assert.equal(encodeEncryptedObject(object).length, body.length);
    assert.deepEqual(decodeEncryptedObject(encodeEncryptedObject(object)), object);
  }
});
