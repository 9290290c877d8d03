/** Keys of a token and what they do, checked against node:crypto wherever a second opinion is possible. */
import assert from 'node:assert/strict';
import {
  constants,
  createHash,
  createPublicKey,
  type KeyObject,
  publicEncrypt,
  randomBytes,
  verify,
} from 'node:crypto';
import { after, before, test } from 'node:test';
import { Pkcs11Error } from './errors.js';
import { openPkcs11Module } from './module.js';
import { createSoftHsm, type SoftHsm } from './testing/soft-hsm.js';
import type { CipherMechanism, EcCurve, HashName, Token, TokenKey } from './token.js';

let hsm: SoftHsm;
let token: Token;
let aes: TokenKey;
before(async () => {
  hsm = await createSoftHsm();
  const module = await openPkcs11Module(hsm.modulePath);
  token = await module.openToken({ label: hsm.tokenLabel, pin: hsm.pin(), maxSessions: 4 });
  aes = await token.generateAesKey({
    label: 'aes',
    id: Buffer.from([1]),
    bytes: 32,
    encryptDecrypt: true,
    wrapUnwrap: true,
  });
});
after(async () => {
  await token.close();
  await hsm.remove();
});

const refused = (code: Pkcs11Error['code']) => (error: unknown) =>
  error instanceof Pkcs11Error && error.code === code;

test('a generated key cannot leave the token', async () => {
  assert.deepEqual(
    { ...(await token.attributes(aes)), ecPoint: undefined },
    {
      sensitive: true,
      extractable: false,
      alwaysSensitive: true,
      neverExtractable: true,
      local: true,
      token: true,
      private: true,
      encrypt: true,
      decrypt: true,
      sign: false,
      verify: false,
      wrap: true,
      unwrap: true,
      derive: false,
      endDate: undefined,
      valueBytes: 32,
      modulus: undefined,
      publicExponent: undefined,
      ecParams: undefined,
      ecPoint: undefined,
    },
  );
});

test('the day a key is meant to end is kept with it, where the token shows it', async () => {
  const endDate = new Date('2031-05-06T00:00:00Z');
  const secret = await token.generateAesKey({ label: 'ends', id: Buffer.from([40]), bytes: 32, endDate });
  const pair = await token.generateRsaKeyPair({
    label: 'ends',
    id: Buffer.from([41]),
    modulusBits: 2048,
    endDate,
  });
  assert.deepEqual((await token.attributes(pair.publicKey)).endDate, endDate);
  // SoftHSM2 2.6 cannot read the date of a private object; all else can be read of it.
  for (const key of [secret, pair.privateKey]) {
    assert.equal((await token.attributes(key)).sensitive, true);
  }
});

test('keys are found by what they are called', async () => {
  const second = await token.generateAesKey({ label: 'pair', id: Buffer.from([7]), bytes: 16 });
  await token.generateAesKey({ label: 'pair', id: Buffer.from([8]), bytes: 16 });
  assert.equal((await token.findKeys({ label: 'pair' })).length, 2);
  assert.deepEqual(await token.findKey({ label: 'pair', id: Buffer.from([7]) }), second);
  await assert.rejects(token.findKey({ label: 'pair' }), refused('key-ambiguous'));
  await assert.rejects(token.findKey({ label: 'absent' }), refused('key-not-found'));
  await assert.rejects(token.findKey({ label: 'pair', keyClass: 'private' }), refused('key-not-found'));
  assert.equal(await token.destroy(second), true);
  assert.equal(await token.destroy(second), false);
  await assert.rejects(token.attributes(second), refused('key-not-found'));
});

test('a key made anew under the same name is found again', async () => {
  const options = { label: 'again', id: Buffer.from([9]), bytes: 32, encryptDecrypt: true } as const;
  const first = await token.generateAesKey(options);
  await token.destroy(await token.findKey({ label: 'again' }));
  await token.generateAesKey(options);
  const sealed = await token.encrypt(first, { kind: 'aes-gcm', iv: Buffer.alloc(12) }, Buffer.from('text'));
  assert.equal(sealed.length, 4 + 16);
});

const ciphers: readonly CipherMechanism[] = [
  { kind: 'aes-gcm', iv: randomBytes(12), aad: Buffer.from('context') },
  { kind: 'aes-gcm', iv: randomBytes(12), tagBits: 96 },
  { kind: 'aes-cbc-pad', iv: randomBytes(16) },
  { kind: 'aes-key-wrap-pad' },
  { kind: 'aes-key-wrap' },
];
for (const cipher of ciphers) {
  test(`${cipher.kind}: what is sealed opens, and a flipped bit does not`, async () => {
    for (const bytes of [16, 32, 4096]) {
      const plaintext = randomBytes(bytes);
      const sealed = await token.encrypt(aes, cipher, plaintext);
      assert.notDeepEqual(sealed.subarray(0, bytes), plaintext);
      assert.deepEqual(await token.decrypt(aes, cipher, sealed), plaintext);
    }
  });
}

for (const cipher of ciphers.filter(({ kind }) => kind !== 'aes-cbc-pad')) {
  test(`${cipher.kind}: every changed byte and every prefix is refused`, async () => {
    const sealed = await token.encrypt(aes, cipher, randomBytes(16));
    for (let index = 0; index < sealed.length; index++) {
      const changed = Buffer.from(sealed);
      changed[index] = (changed[index] ?? 0) ^ 0x01;
      await assert.rejects(token.decrypt(aes, cipher, changed), refused('ciphertext-invalid'));
      await assert.rejects(
        token.decrypt(aes, cipher, sealed.subarray(0, index)),
        refused('ciphertext-invalid'),
      );
    }
  });
}

test('AES-GCM binds its additional data', async () => {
  const iv = randomBytes(12);
  const sealed = await token.encrypt(
    aes,
    { kind: 'aes-gcm', iv, aad: Buffer.from('a') },
    Buffer.from('text'),
  );
  await assert.rejects(
    token.decrypt(aes, { kind: 'aes-gcm', iv, aad: Buffer.from('b') }, sealed),
    refused('ciphertext-invalid'),
  );
  await assert.rejects(
    token.encrypt(aes, { kind: 'aes-gcm', iv: randomBytes(16) }, Buffer.from('text')),
    refused('invalid-option'),
  );
});

test('a key without the permission refuses', async () => {
  const idle = await token.generateAesKey({ label: 'idle', id: Buffer.from([2]), bytes: 32 });
  await assert.rejects(
    token.encrypt(idle, { kind: 'aes-gcm', iv: Buffer.alloc(12) }, Buffer.from('text')),
    refused('key-forbids'),
  );
});

const digests: Readonly<Record<HashName, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 };

test('RSA: OAEP and both signatures agree with node:crypto', async () => {
  const { publicKey, privateKey } = await token.generateRsaKeyPair({
    label: 'rsa',
    id: Buffer.from([3]),
    modulusBits: 2048,
    encryptDecrypt: true,
    signVerify: true,
  });
  const exported = await token.publicKey(publicKey);
  assert.deepEqual(
    (await token.publicKey(privateKey)).export({ format: 'jwk' }),
    exported.export({ format: 'jwk' }),
  );
  assert.equal(exported.asymmetricKeyDetails?.modulusLength, 2048);

  const oaep: CipherMechanism = { kind: 'rsa-pkcs-oaep', hash: 'sha1' };
  const fromNode = publicEncrypt(
    { key: exported, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
    Buffer.from('text'),
  );
  assert.equal((await token.decrypt(privateKey, oaep, fromNode)).toString(), 'text');
  assert.equal(
    (
      await token.decrypt(privateKey, oaep, await token.encrypt(publicKey, oaep, Buffer.from('back')))
    ).toString(),
    'back',
  );
  fromNode[10] = (fromNode[10] ?? 0) ^ 1;
  await assert.rejects(token.decrypt(privateKey, oaep, fromNode), refused('ciphertext-invalid'));

  for (const hash of Object.keys(digests) as HashName[]) {
    const message = Buffer.from(`message for ${hash}`);
    const digest = createHash(hash).update(message).digest();
    const pkcs1 = await token.sign(privateKey, { kind: 'rsa-pkcs', hash }, digest);
    assert.ok(verify(hash, message, exported, pkcs1));
    const pss = await token.sign(privateKey, { kind: 'rsa-pkcs-pss', hash }, digest);
    const key = { key: exported, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: digests[hash] };
    assert.ok(verify(hash, message, key, pss));
    assert.equal(await token.verify(publicKey, { kind: 'rsa-pkcs-pss', hash }, digest, pss), true);
    assert.equal(await token.verify(publicKey, { kind: 'rsa-pkcs-pss', hash }, digest, pkcs1), false);
    await assert.rejects(
      token.sign(privateKey, { kind: 'rsa-pkcs', hash }, digest.subarray(1)),
      refused('data-invalid'),
    );
  }
});

for (const curve of ['P-256', 'P-384', 'P-521', 'secp256k1'] as const satisfies readonly EcCurve[]) {
  test(`ECDSA on ${curve} agrees with node:crypto`, async () => {
    const id = Buffer.from(`ec ${curve}`);
    const { publicKey, privateKey } = await token.generateEcKeyPair({
      label: curve,
      id,
      curve,
      signVerify: true,
    });
    const exported: KeyObject = await token.publicKey(privateKey);
    const message = Buffer.from('message');
    const digest = createHash('sha256').update(message).digest();
    const signature = await token.sign(privateKey, { kind: 'ecdsa' }, digest);
    assert.ok(
      verify(
        'sha256',
        message,
        { key: createPublicKey(exported.export({ type: 'spki', format: 'pem' })), dsaEncoding: 'ieee-p1363' },
        signature,
      ),
    );
    assert.equal(await token.verify(publicKey, { kind: 'ecdsa' }, digest, signature), true);
    assert.equal(await token.verify(publicKey, { kind: 'ecdsa' }, Buffer.alloc(32, 1), signature), false);
  });
}

test('HMAC is as long as its hash and tells data apart', async () => {
  const key = await token.generateGenericSecretKey({
    label: 'mac',
    id: Buffer.from([4]),
    bytes: 64,
    signVerify: true,
  });
  for (const hash of Object.keys(digests) as HashName[]) {
    const mac = await token.sign(key, { kind: 'hmac', hash }, Buffer.from('message'));
    assert.equal(mac.length, digests[hash]);
    assert.equal(await token.verify(key, { kind: 'hmac', hash }, Buffer.from('message'), mac), true);
    assert.equal(await token.verify(key, { kind: 'hmac', hash }, Buffer.from('massage'), mac), false);
  }
});

test('what a token can do is listed', async () => {
  const mechanisms = await token.mechanisms();
  const gcm = mechanisms.find(({ name }) => name === 'CKM_AES_GCM');
  assert.deepEqual(gcm, {
    name: 'CKM_AES_GCM',
    minKeySize: 16,
    maxKeySize: 32,
    encrypt: true,
    decrypt: true,
    sign: false,
    wrap: gcm?.wrap,
    generate: false,
  });
});

test('randomness comes in the length asked for', async () => {
  assert.equal((await token.generateRandom(65_536)).length, 65_536);
  assert.notDeepEqual(await token.generateRandom(16), await token.generateRandom(16));
  await assert.rejects(token.generateRandom(0), refused('invalid-option'));
});

test('many operations at once share few sessions, and all are right', async () => {
  const texts = Array.from({ length: 200 }, (_, index) => Buffer.from(`text ${index}`));
  const opened = await Promise.all(
    texts.map(async (text) => {
      const cipher: CipherMechanism = { kind: 'aes-gcm', iv: randomBytes(12) };
      return token.decrypt(aes, cipher, await token.encrypt(aes, cipher, text));
    }),
  );
  assert.deepEqual(opened, texts);
});
