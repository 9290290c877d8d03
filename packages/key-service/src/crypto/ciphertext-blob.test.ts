// Goal: what was sealed opens to the same bytes, and nothing else opens: no flipped bit, no truncation, no other key or context.
import assert from 'node:assert/strict';
import { createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { MIN_BLOB_BYTES, openBlob, readBlobHeader, sealBlob } from './ciphertext-blob.js';
import { encodeEncryptionContext } from './encryption-context.js';

const name = {
  accountId: '000000000042',
  keyId: '1234abcd-12ab-34cd-56ef-1234567890ab',
  materialId: 'ab'.repeat(32),
};
const material = randomBytes(32);
const context = encodeEncryptionContext({ purpose: 'test' });
const seal = (plaintext: Buffer): Buffer => sealBlob(name, material, context, plaintext, randomBytes);

test('a blob opens to its plaintext and names its key', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 4096 }), (bytes) => {
      const plaintext = Buffer.from(bytes);
      const blob = seal(plaintext);
      assert.equal(blob.length, MIN_BLOB_BYTES + plaintext.length);
      assert.deepEqual(readBlobHeader(blob), { ...name, inToken: false });
      assert.deepEqual(openBlob(material, context, blob), plaintext);
    }),
  );
});

test('a blob is what the format says: AES-256-GCM under the HKDF of material and salt', () => {
  const blob = seal(Buffer.from('plaintext'));
  const headerBytes = MIN_BLOB_BYTES - 16;
  const [saltAt, nonceAt, tagAt] = [headerBytes - 28, headerBytes - 12, blob.length - 16];
  const info = 'waxseal/key-service/ciphertext-blob/v1';
  const messageKey = Buffer.from(hkdfSync('sha256', material, blob.subarray(saltAt, nonceAt), info, 32));
  const decipher = createDecipheriv('aes-256-gcm', messageKey, blob.subarray(nonceAt, headerBytes));
  decipher.setAAD(Buffer.concat([blob.subarray(0, headerBytes), context]));
  decipher.setAuthTag(blob.subarray(tagAt));
  const plaintext = Buffer.concat([decipher.update(blob.subarray(headerBytes, tagAt)), decipher.final()]);
  assert.equal(plaintext.toString(), 'plaintext');
});

test('a multi-Region key id and the largest account id survive', () => {
  const multiRegion = { ...name, accountId: '999999999999', keyId: `mrk-${'0f'.repeat(16)}` };
  const blob = sealBlob(multiRegion, material, context, Buffer.from('x'), randomBytes);
  assert.deepEqual(readBlobHeader(blob), { ...multiRegion, inToken: false });
});

test('the same plaintext never gives the same blob', () => {
  const blobs = Array.from({ length: 100 }, () => seal(Buffer.from('same')).toString('hex'));
  assert.equal(new Set(blobs).size, 100);
});

test('no blob with one flipped bit opens', () => {
  const blob = seal(Buffer.from('plaintext'));
  for (let bit = 0; bit < blob.length * 8; bit++) {
    const flipped = Buffer.from(blob);
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.equal(openBlob(material, context, flipped), undefined, `bit ${bit}`);
  }
});

test('no truncation opens, and the header of every one is read without a crash', () => {
  const blob = seal(Buffer.from('plaintext'));
  for (let length = 0; length < blob.length; length++) {
    const cut = blob.subarray(0, length);
    assert.equal(openBlob(material, context, cut), undefined, `length ${length}`);
    assert.equal(readBlobHeader(cut) === undefined, length < MIN_BLOB_BYTES, `length ${length}`);
  }
});

test('another material or another context does not open', () => {
  const blob = seal(Buffer.from('plaintext'));
  assert.equal(openBlob(randomBytes(32), context, blob), undefined);
  assert.equal(openBlob(material, encodeEncryptionContext({}), blob), undefined);
  assert.equal(openBlob(material, encodeEncryptionContext({ purpose: 'other' }), blob), undefined);
});

test('any bytes have a header or none, never an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const blob = Buffer.from(bytes);
      readBlobHeader(blob);
      assert.equal(openBlob(material, context, blob), undefined);
    }),
  );
});
