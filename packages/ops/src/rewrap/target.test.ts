// Goal: any stored bytes are judged, cut ones too. Method: every truncation of a value that is as it should be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeEncryptedObject, type Transformer } from '@waxseal/envelope';
import { targetOf } from './target.js';

const PREFIX = 'k8s:enc:kms:v2:here:';

function sealed(keyId: string): Buffer {
  const body = encodeEncryptedObject({
    encryptedData: Buffer.from('ciphertext'),
    keyId,
    encryptedDekSource: Buffer.from('source'),
    encryptedDekSourceType: 1,
    annotations: {},
  });
  return Buffer.concat([Buffer.from(PREFIX), body]);
}

const writer: Transformer = {
  transformToStorage: () => Promise.resolve(sealed('key-1')),
  transformFromStorage: () => Promise.reject(new Error('nothing is opened')),
};

test('only a whole value under the KMS key of today is as it should be', async () => {
  const isCurrent = await targetOf(writer);
  assert.equal(isCurrent(sealed('key-1')), true);
  assert.equal(isCurrent(sealed('key-2')), false);
  for (let length = 0; length < PREFIX.length; length++) {
    assert.equal(isCurrent(sealed('key-1').subarray(0, length)), false, `cut to ${length} bytes`);
  }
});
