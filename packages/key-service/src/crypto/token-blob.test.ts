// Goal: blobs of token keys are told apart from others, and carry what the token needs.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { readBlobHeader } from './ciphertext-blob.js';
import { splitTokenBlob, startTokenBlob } from './token-blob.js';

const name = {
  accountId: '000000000042',
  keyId: '1234abcd-12ab-34cd-56ef-1234567890ab',
  materialId: 'c3'.repeat(32),
};
const context = Buffer.from('context');

test('header, nonce and additional data come back from the blob; every shorter one is refused', () => {
  const { header, iv, aad } = startTokenBlob(name, context, randomBytes);
  assert.equal(header.length, 67);
  assert.equal(iv.length, 12);
  assert.deepEqual(aad, Buffer.concat([header, context]));
  const ciphertext = randomBytes(16);
  const blob = Buffer.concat([header, ciphertext]);
  assert.deepEqual(readBlobHeader(blob), { ...name, inToken: true });
  assert.deepEqual(splitTokenBlob(blob, context), { header, iv, aad, ciphertext });
  for (let length = 0; length < blob.length; length++) {
    assert.equal(readBlobHeader(blob.subarray(0, length)), undefined, `length ${length}`);
  }
});
