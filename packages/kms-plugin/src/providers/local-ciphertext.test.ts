/** The format as documented: a recorded value opens in every later release. */
import assert from 'node:assert/strict';
import { createDecipheriv, createHmac } from 'node:crypto';
import { test } from 'node:test';
import { openLocal, parseLocalCiphertext, sealLocal } from './local-ciphertext.js';

const key = Buffer.alloc(32, 0x5a);
const counting = (sizeBytes: number): Buffer => Buffer.from(Array.from({ length: sizeBytes }, (_, i) => i));

test('a recorded ciphertext opens, and is what sealing gives with the same random bytes', () => {
  const recorded = Buffer.from(
    'ASBsb2NhbDpkZWZhdWx0OjE6MDAxMTIyMzM0NDU1NjY3NwABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSorROPKMv2TsXIKMHSCaAsC32GuHsQZNFZARfQQYeqdADBLryA=',
    'base64',
  );
  const parts = parseLocalCiphertext(recorded);
  assert.ok(parts !== undefined);
  assert.equal(parts.keyId, 'local:default:1:0011223344556677');
  assert.equal(openLocal(parts, key)?.toString(), 'data encryption key');
  assert.deepEqual(sealLocal(parts.keyId, key, Buffer.from('data encryption key'), counting), recorded);
  assert.equal(openLocal(parts, Buffer.alloc(32)), undefined);
});

test('the value opens by the documented steps alone', () => {
  const value = sealLocal('k', key, Buffer.from('dek'), counting);
  const header = value.subarray(0, 1 + 1 + 1 + 32);
  const info = Buffer.concat([Buffer.from('waxseal local v1'), header.subarray(3), Buffer.from([1])]);
  const messageKey = createHmac('sha256', key).update(info).digest();
  const decipher = createDecipheriv('aes-256-gcm', messageKey, value.subarray(35, 47)).setAAD(header);
  decipher.setAuthTag(value.subarray(-16));
  const plaintext = Buffer.concat([decipher.update(value.subarray(47, -16)), decipher.final()]);
  assert.equal(plaintext.toString(), 'dek');
});

test('what is no local ciphertext does not parse', () => {
  const good = sealLocal('k', key, Buffer.alloc(0), counting);
  assert.ok(parseLocalCiphertext(good) !== undefined);
  for (let length = 0; length < good.length; length++) {
    assert.equal(parseLocalCiphertext(good.subarray(0, length)), undefined);
  }
  for (const bytes of [
    Buffer.concat([Buffer.from([2]), good.subarray(1)]),
    Buffer.concat([Buffer.from([1, 0]), good]),
  ]) {
    assert.equal(parseLocalCiphertext(bytes), undefined);
  }
  assert.throws(() => sealLocal('', key, Buffer.alloc(0), counting), RangeError);
  assert.throws(() => sealLocal('k'.repeat(256), key, Buffer.alloc(0), counting), RangeError);
});
