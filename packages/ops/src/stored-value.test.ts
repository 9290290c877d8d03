// Goal: what a value is can be told without its key, for every provider, and for any bytes. Method: values made by the reference
// implementation, every truncation of them, random bytes.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { describeStoredValue } from './stored-value.js';

const vector = (name: string): unknown =>
  JSON.parse(readFileSync(fileURLToPath(new URL(`../../../test/vectors/${name}`, import.meta.url)), 'utf8'));

interface Vector {
  readonly provider: string;
  readonly keyName: string;
  readonly storedBase64: string;
  readonly kmsKeyId?: string;
  readonly encryptedDekSourceBase64?: string;
}

test('values of the static providers name provider and key', () => {
  const vectors = vector('static-providers.json') as readonly Vector[];
  assert.ok(vectors.length > 0);
  for (const { provider, keyName, storedBase64 } of vectors) {
    const kind = describeStoredValue(Buffer.from(storedBase64, 'base64'));
    assert.deepEqual(kind, { provider, key: keyName });
  }
});

test('values of KMS providers name the key and the source of the DEK', () => {
  const vectors = vector('kms-providers.json') as readonly Vector[];
  assert.ok(vectors.length > 0);
  for (const { provider, keyName, storedBase64, kmsKeyId, encryptedDekSourceBase64 = '' } of vectors) {
    const kind = describeStoredValue(Buffer.from(storedBase64, 'base64'));
    const dekSource = createHash('sha256')
      .update(Buffer.from(encryptedDekSourceBase64, 'base64'))
      .digest('hex')
      .slice(0, 16);
    assert.equal(kind.provider, provider);
    assert.equal(kind.kmsName, keyName);
    assert.equal(kind.key, kmsKeyId ?? keyName);
    assert.equal(kind.dekSource, dekSource);
    assert.equal(kind.problem, undefined);
  }
});

test('every truncation has an answer', () => {
  for (const { storedBase64 } of vector('kms-providers.json') as readonly Vector[]) {
    const stored = Buffer.from(storedBase64, 'base64');
    for (let length = 0; length < Math.min(stored.length, 400); length++) {
      assert.ok(describeStoredValue(stored.subarray(0, length)).provider.length > 0);
    }
  }
});

test('what is not encrypted is identity, what no provider writes is unknown', () => {
  assert.equal(describeStoredValue(Buffer.from('k8s\0…')).provider, 'identity');
  assert.equal(describeStoredValue(Buffer.from('{"kind":"Secret"}')).provider, 'identity');
  assert.equal(describeStoredValue(Buffer.alloc(0)).provider, 'identity');
  for (const text of [
    'k8s:enc:',
    'k8s:enc:aesgcm:v1',
    'k8s:enc:rot13:v1:a:x',
    'k8s:enc:kms:v3:a:x',
    'k8s:enc:__proto__:v1:a:x',
  ]) {
    assert.equal(describeStoredValue(Buffer.from(text)).provider, 'unknown', text);
  }
});

test('a kms frame that is not whole is said to be so', () => {
  assert.ok(describeStoredValue(Buffer.from('k8s:enc:kms:v1:a:\x01\x00')).problem);
  assert.ok(describeStoredValue(Buffer.from('k8s:enc:kms:v2:a:\xff')).problem);
});
