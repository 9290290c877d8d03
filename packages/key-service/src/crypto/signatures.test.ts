// Goal: signatures are those of the standards: known answers, and node:crypto verifies every digest signature as if it had
// hashed the message itself, and the other way round.
import assert from 'node:assert/strict';
import {
  createHash,
  createPrivateKey,
  constants,
  randomBytes,
  sign as nodeSign,
  verify as nodeVerify,
} from 'node:crypto';
import { test } from 'node:test';
import type { AsymmetricSpec, SigningAlgorithm } from '../keys/key-specs.js';
import { createPkcs8, parsePrivateKey, type PrivateKey } from './private-key.js';
import { type MessageType, sign, verify } from './signatures.js';

const MESSAGE = Buffer.from('the quick brown fox');

async function createKey(spec: AsymmetricSpec): Promise<PrivateKey> {
  const key = parsePrivateKey(spec, await createPkcs8(spec, randomBytes));
  assert.ok(key !== undefined);
  return key;
}

const signed = (algorithm: SigningAlgorithm, type: MessageType, bytes: Buffer) => ({
  algorithm,
  type,
  bytes,
});
const hex = (text: string): Buffer => Buffer.from(text, 'hex');

function parse(spec: AsymmetricSpec, pkcs8: Buffer): PrivateKey {
  const key = parsePrivateKey(spec, pkcs8);
  assert.ok(key !== undefined);
  return key;
}

const ED25519_PKCS8 = hex('302e020100300506032b657004220420');

test('Ed25519 signs as RFC 8032 §7.1 (TEST 2)', async () => {
  const secret = hex('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb');
  const key = parse('ECC_NIST_EDWARDS25519', Buffer.concat([ED25519_PKCS8, secret]));
  const request = signed('ED25519_SHA_512', 'RAW', hex('72'));
  const signature = await sign(key, request, randomBytes);
  assert.equal(
    signature.toString('hex'),
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  );
  assert.ok(verify(key, request, signature));
});

test('Ed25519ph signs as RFC 8032 §7.3', async () => {
  const secret = hex('833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42');
  const key = parse('ECC_NIST_EDWARDS25519', Buffer.concat([ED25519_PKCS8, secret]));
  const request = signed('ED25519_PH_SHA_512', 'DIGEST', Buffer.from('abc'));
  const signature = await sign(key, request, randomBytes);
  assert.equal(
    signature.toString('hex'),
    '98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406',
  );
  assert.ok(verify(key, request, signature));
  assert.equal(verify(key, signed('ED25519_SHA_512', 'RAW', Buffer.from('abc')), signature), false);
});

test('ECDSA verifies the signature of RFC 6979 §A.2.5, of the message and of its digest', () => {
  const coordinate = (text: string): string => hex(text).toString('base64url');
  const pkcs8 = createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      d: coordinate('c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721'),
      x: coordinate('60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6'),
      y: coordinate('7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299'),
    },
  }).export({ type: 'pkcs8', format: 'der' });
  const key = parse('ECC_NIST_P256', pkcs8);
  const signature = hex(
    '3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8',
  );
  const digest = createHash('sha256').update('sample').digest();
  assert.ok(verify(key, signed('ECDSA_SHA_256', 'RAW', Buffer.from('sample')), signature));
  assert.ok(verify(key, signed('ECDSA_SHA_256', 'DIGEST', digest), signature));
  assert.equal(verify(key, signed('ECDSA_SHA_256', 'RAW', Buffer.from('test')), signature), false);
});

const ECDSA: readonly (readonly [AsymmetricSpec, SigningAlgorithm, string])[] = [
  ['ECC_NIST_P256', 'ECDSA_SHA_256', 'sha256'],
  ['ECC_NIST_P384', 'ECDSA_SHA_384', 'sha384'],
  ['ECC_NIST_P521', 'ECDSA_SHA_512', 'sha512'],
  ['ECC_SECG_P256K1', 'ECDSA_SHA_256', 'sha256'],
];

for (const [spec, algorithm, hash] of ECDSA) {
  test(`${spec}: a digest signature is the message's signature`, async () => {
    const digest = createHash(hash).update(MESSAGE).digest();
    // Several keys: some scalars and coordinates begin with zero bytes.
    for (let i = 0; i < 6; i++) {
      const key = await createKey(spec);
      assert.ok(key.kind === 'ec');
      const ofDigest = await sign(key, signed(algorithm, 'DIGEST', digest), randomBytes);
      assert.ok(nodeVerify(hash, MESSAGE, key.publicKey, ofDigest));
      const ofMessage = nodeSign(hash, MESSAGE, key.privateKey);
      assert.ok(verify(key, signed(algorithm, 'DIGEST', digest), ofMessage));
      assert.ok(verify(key, signed(algorithm, 'RAW', MESSAGE), ofDigest));
    }
  });
}

test('RSA: a digest signature is the message signature, with every hash and padding', async () => {
  const key = await createKey('RSA_2048');
  assert.ok(key.kind === 'rsa');
  for (const [hash, bits] of [
    ['sha256', 256],
    ['sha384', 384],
    ['sha512', 512],
  ] as const) {
    const digest = createHash(hash).update(MESSAGE).digest();
    const pss = {
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: digest.length,
    };
    for (const [algorithm, padding] of [
      [`RSASSA_PSS_SHA_${bits}`, pss],
      [`RSASSA_PKCS1_V1_5_SHA_${bits}`, { padding: constants.RSA_PKCS1_PADDING }],
    ] as const) {
      const ofDigest = await sign(key, signed(algorithm, 'DIGEST', digest), randomBytes);
      assert.ok(nodeVerify(hash, MESSAGE, { key: key.publicKey, ...padding }, ofDigest), algorithm);
      const ofMessage = await sign(key, signed(algorithm, 'RAW', MESSAGE), randomBytes);
      assert.ok(nodeVerify(hash, MESSAGE, { key: key.publicKey, ...padding }, ofMessage), algorithm);
      assert.ok(verify(key, signed(algorithm, 'DIGEST', digest), ofMessage), algorithm);
      assert.ok(verify(key, signed(algorithm, 'RAW', MESSAGE), ofDigest), algorithm);
    }
  }
});

test('PSS salts of another length than the digest are refused, of message and digest alike', async () => {
  const key = await createKey('RSA_2048');
  assert.ok(key.kind === 'rsa');
  const digest = createHash('sha256').update(MESSAGE).digest();
  for (const saltLength of [0, 20, 33, 64]) {
    const signature: Buffer = nodeSign('sha256', MESSAGE, {
      key: key.privateKey,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength,
    });
    assert.equal(verify(key, signed('RSASSA_PSS_SHA_256', 'RAW', MESSAGE), signature), false);
    assert.equal(verify(key, signed('RSASSA_PSS_SHA_256', 'DIGEST', digest), signature), false);
  }
});

test('ML-DSA: μ is that of FIPS 204 §5.2 with an empty context', async () => {
  const key = await createKey('ML_DSA_65');
  assert.ok(key.kind === 'ml-dsa');
  const shake = (...parts: readonly Uint8Array[]): Buffer => {
    const state = createHash('shake256', { outputLength: 64 });
    for (const part of parts) state.update(part);
    return state.digest();
  };
  const mu = shake(shake(key.publicKey), Buffer.from([0, 0]), MESSAGE);
  const message = signed('ML_DSA_SHAKE_256', 'RAW', MESSAGE);
  const representative = signed('ML_DSA_SHAKE_256', 'EXTERNAL_MU', mu);
  assert.ok(verify(key, representative, await sign(key, message, randomBytes)));
  assert.ok(verify(key, message, await sign(key, representative, randomBytes)));
});

const EVERY: readonly (readonly [AsymmetricSpec, SigningAlgorithm, MessageType, number])[] = [
  ['RSA_2048', 'RSASSA_PSS_SHA_256', 'RAW', 0],
  ['RSA_2048', 'RSASSA_PSS_SHA_384', 'DIGEST', 48],
  ['RSA_2048', 'RSASSA_PKCS1_V1_5_SHA_512', 'RAW', 0],
  ['RSA_2048', 'RSASSA_PKCS1_V1_5_SHA_256', 'DIGEST', 32],
  ['ECC_NIST_P384', 'ECDSA_SHA_384', 'RAW', 0],
  ['ECC_SECG_P256K1', 'ECDSA_SHA_256', 'DIGEST', 32],
  ['ECC_NIST_EDWARDS25519', 'ED25519_SHA_512', 'RAW', 0],
  ['ECC_NIST_EDWARDS25519', 'ED25519_PH_SHA_512', 'DIGEST', 64],
  ['ML_DSA_44', 'ML_DSA_SHAKE_256', 'RAW', 0],
  ['ML_DSA_44', 'ML_DSA_SHAKE_256', 'EXTERNAL_MU', 64],
];

for (const [spec, algorithm, type, bytes] of EVERY) {
  test(`${algorithm} ${type}: truncated, lengthened and changed signatures are refused`, async () => {
    const key = await createKey(spec);
    const request = signed(algorithm, type, bytes === 0 ? MESSAGE : randomBytes(bytes));
    const signature = await sign(key, request, randomBytes);
    assert.ok(verify(key, request, signature));
    const step = Math.ceil(signature.length / 24);
    for (let at = 0; at < signature.length; at += step) {
      const changed = Buffer.from(signature);
      changed[at] = (changed[at] as number) ^ 0x20;
      assert.equal(verify(key, request, changed), false, `byte ${at}`);
      assert.equal(verify(key, request, signature.subarray(0, at)), false, `${at} bytes`);
    }
    assert.equal(verify(key, request, Buffer.concat([signature, Buffer.alloc(1)])), false);
    assert.equal(verify(key, request, Buffer.alloc(6144, 0x61)), false);
    const other = signed(algorithm, type, Buffer.from(request.bytes).fill(7));
    assert.equal(verify(key, other, signature), false);
  });
}
