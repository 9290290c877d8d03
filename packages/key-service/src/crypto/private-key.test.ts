// Goal: key pairs survive PKCS#8, public keys are standard SubjectPublicKeyInfo, and nothing else passes for a key.
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { AsymmetricSpec } from '../keys/key-specs.js';
import { createKeyGenerator } from './key-generator.js';
import { createPkcs8, exportPublicKey, parsePrivateKey } from './private-key.js';

const SPECS: readonly (readonly [AsymmetricSpec, number])[] = [
  ['RSA_2048', 294],
  ['ECC_NIST_P256', 91],
  ['ECC_NIST_P384', 120],
  ['ECC_NIST_P521', 158],
  ['ECC_SECG_P256K1', 88],
  ['ECC_NIST_EDWARDS25519', 44],
  ['ML_DSA_44', 1334],
  ['ML_DSA_65', 1974],
  ['ML_DSA_87', 2614],
  ['ML_KEM_512', 822],
  ['ML_KEM_768', 1206],
  ['ML_KEM_1024', 1590],
];

for (const [spec, spkiBytes] of SPECS) {
  test(`${spec}: a new key, its public half, and nothing else under its name`, async () => {
    const pkcs8 = await createPkcs8(spec, randomBytes);
    const key = parsePrivateKey(spec, pkcs8);
    assert.ok(key !== undefined);
    assert.equal(key.spec, spec);
    assert.equal(exportPublicKey(key).length, spkiBytes);
    for (const [other] of SPECS) {
      if (other !== spec) assert.equal(parsePrivateKey(other, pkcs8), undefined, other);
    }
    for (let length = 0; length < pkcs8.length; length += Math.ceil(pkcs8.length / 60)) {
      assert.equal(parsePrivateKey(spec, pkcs8.subarray(0, length)), undefined, `${length} bytes`);
    }
  });
}

test('the public keys of classical specs are what node:crypto derives', async () => {
  for (const [spec] of SPECS.slice(0, 6)) {
    const pkcs8 = await createPkcs8(spec, randomBytes);
    const key = parsePrivateKey(spec, pkcs8);
    assert.ok(key !== undefined);
    const expected = createPublicKey(createPrivateKey({ key: pkcs8, type: 'pkcs8', format: 'der' }));
    assert.deepEqual(exportPublicKey(key), expected.export({ type: 'spki', format: 'der' }));
  }
});

test('ML-DSA keys are encoded as in RFC 9881 appendix C', () => {
  const seed = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
  const pkcs8 = Buffer.from(
    'MDQCAQAwCwYJYIZIAWUDBAMRBCKAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f',
    'base64',
  );
  assert.deepEqual(pkcs8.subarray(-32), seed);
  const key = parsePrivateKey('ML_DSA_44', pkcs8);
  assert.ok(key !== undefined);
  assert.equal(
    exportPublicKey(key).subarray(0, 51).toString('base64'),
    'MIIFMjALBglghkgBZQMEAxEDggUhANeytHJUquDbReeTDUqY0sl9jxOX0Xidr6FwJLMW',
  );
});

test('an RSA key of another length is not of the spec', async () => {
  const pkcs8 = await createPkcs8('RSA_2048', randomBytes);
  assert.equal(parsePrivateKey('RSA_3072', pkcs8), undefined);
  assert.equal(parsePrivateKey('RSA_4096', pkcs8), undefined);
});

test('many keys asked for at once are all made', async () => {
  const generate = createKeyGenerator(randomBytes);
  const made = await Promise.all(Array.from({ length: 9 }, () => generate('ECC_NIST_P256')));
  assert.equal(new Set(made.map((one) => one.toString('hex'))).size, 9);
  assert.deepEqual(
    (await Promise.all((['SYMMETRIC_DEFAULT', 'HMAC_224', 'HMAC_512'] as const).map(generate))).map(
      ({ length }) => length,
    ),
    [32, 28, 64],
  );
});
