// Goal: what keys do answers what AWS answers. Method: every call of the recordings that applies is made again, and its answer
// compared member by member, its refusal word by word.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ACCOUNT, REGION, startTestService, type TestService } from './testing/harness.js';
import { answers, BLOB, call, createKey, MATERIAL_ID, refuses } from './testing/recordings.js';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const MESSAGE = base64('test message !%$@ 1234567890');

let kms: TestService;
before(async () => {
  kms = await startTestService();
});
after(() => kms.close());

const keyArn = (keyId: string): string => `arn:aws:kms:${REGION}:${ACCOUNT}:key/${keyId}`;

test('GenerateRandom', async () => {
  for (const NumberOfBytes of [12, 44, 91, 1, 1024]) {
    const { Plaintext } = await answers(kms, 'GenerateRandom', { NumberOfBytes }, { Plaintext: BLOB });
    assert.equal(Buffer.from(String(Plaintext), 'base64').length, NumberOfBytes);
  }
  const broken = (value: number, rule: string): string =>
    `1 validation error detected: Value '${value}' at 'numberOfBytes' failed to satisfy constraint: Member must have value ${rule}`;
  for (const [input, message] of [
    [{ NumberOfBytes: null }, 'NumberOfBytes is required.'],
    [{ NumberOfBytes: 0 }, broken(0, 'greater than or equal to 1')],
    [{ NumberOfBytes: 1025 }, broken(1025, 'less than or equal to 1024')],
  ] as const) {
    await refuses(kms, 'GenerateRandom', input, 'ValidationException', message);
  }
});

for (const [KeySpec, sha1Bytes, sha256Bytes] of [
  ['RSA_2048', 214, 190],
  ['RSA_3072', 342, 318],
  ['RSA_4096', 470, 446],
] as const) {
  test(`Encrypt: more than ${KeySpec} takes`, async () => {
    const KeyId = await createKey(kms, { KeyUsage: 'ENCRYPT_DECRYPT', KeySpec });
    const Plaintext = base64('more than 500 bytes and less than 4096 bytes'.repeat(20));
    for (const [EncryptionAlgorithm, bytes] of [
      ['RSAES_OAEP_SHA_1', sha1Bytes],
      ['RSAES_OAEP_SHA_256', sha256Bytes],
    ] as const) {
      await refuses(
        kms,
        'Encrypt',
        { KeyId, Plaintext, EncryptionAlgorithm },
        'ValidationException',
        `Algorithm ${EncryptionAlgorithm} and key spec ${KeySpec} cannot encrypt data larger than ${bytes} bytes.`,
      );
    }
  });
}

test('keys of the wrong usage, and a ciphertext of another key', async () => {
  const hmac = await createKey(kms, { KeySpec: 'HMAC_224', KeyUsage: 'GENERATE_VERIFY_MAC' });
  const symmetric = await createKey(kms);
  const signing = await createKey(kms, { KeyUsage: 'SIGN_VERIFY', KeySpec: 'ECC_NIST_P256' });
  const Message = base64('some important message');
  const Signature = base64('random text');
  for (const [action, KeyId, usage, input] of [
    ['GenerateMac', symmetric, 'ENCRYPT_DECRYPT', { Message, MacAlgorithm: 'HMAC_SHA_224' }],
    ['Sign', hmac, 'GENERATE_VERIFY_MAC', { Message, SigningAlgorithm: 'RSASSA_PSS_SHA_256' }],
    ['Verify', symmetric, 'ENCRYPT_DECRYPT', { Message, Signature, SigningAlgorithm: 'ECDSA_SHA_256' }],
    ['Encrypt', signing, 'SIGN_VERIFY', { Plaintext: Message }],
    ['GenerateDataKey', signing, 'SIGN_VERIFY', { KeySpec: 'AES_256' }],
    ['GenerateDataKeyWithoutPlaintext', signing, 'SIGN_VERIFY', { KeySpec: 'AES_256' }],
  ] as const) {
    await refuses(
      kms,
      action,
      { KeyId, ...input },
      'InvalidKeyUsageException',
      `${keyArn(KeyId)} key usage is ${usage} which is not valid for ${action}.`,
    );
  }
  const { CiphertextBlob } = (await call(kms, 'Encrypt', { KeyId: symmetric, Plaintext: Message })) ?? {};
  const incorrect = 'The key ID in the request does not identify a CMK that can perform this operation.';
  await refuses(kms, 'Decrypt', { CiphertextBlob, KeyId: hmac }, 'IncorrectKeyException', incorrect);
  const again = { CiphertextBlob, SourceKeyId: hmac, DestinationKeyId: hmac };
  await refuses(kms, 'ReEncrypt', again, 'IncorrectKeyException', incorrect);
  await refuses(
    kms,
    'ReEncrypt',
    { CiphertextBlob, DestinationKeyId: signing },
    'InvalidKeyUsageException',
    `${keyArn(signing)} key usage is SIGN_VERIFY which is not valid for ReEncryptTo.`,
  );
});

test('Encrypt and Decrypt: the encryption context', async () => {
  const KeyId = await createKey(kms);
  const EncryptionAlgorithm = 'SYMMETRIC_DEFAULT';
  const EncryptionContext = { 'context-key': 'context-value' };
  const { CiphertextBlob } = await answers(
    kms,
    'Encrypt',
    { KeyId, Plaintext: MESSAGE, EncryptionAlgorithm, EncryptionContext },
    { CiphertextBlob: BLOB, EncryptionAlgorithm, KeyId: keyArn(KeyId) },
  );
  const decrypted = {
    EncryptionAlgorithm,
    KeyId: keyArn(KeyId),
    KeyMaterialId: MATERIAL_ID,
    Plaintext: MESSAGE,
  };
  const input = { KeyId, CiphertextBlob, EncryptionAlgorithm, EncryptionContext };
  await answers(kms, 'Decrypt', input, decrypted);
  const { EncryptionContext: _, ...without } = input;
  const bytes = Buffer.from(String(CiphertextBlob), 'base64');
  for (const broken of [
    without,
    { ...input, CiphertextBlob: bytes.subarray(68).toString('base64') },
    { ...input, CiphertextBlob: Buffer.concat([bytes, Buffer.from('bad_data')]).toString('base64') },
    { CiphertextBlob: 'AAAA' },
  ]) {
    await refuses(kms, 'Decrypt', broken, 'InvalidCiphertextException', '');
  }
});

test('Encrypt and Decrypt: RSA keys', async () => {
  const KeyId = await createKey(kms, { KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' });
  const EncryptionAlgorithm = 'RSAES_OAEP_SHA_256';
  const incompatible = 'Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.';
  await refuses(kms, 'Encrypt', { KeyId, Plaintext: MESSAGE }, 'InvalidKeyUsageException', incompatible);
  const encrypted = { CiphertextBlob: BLOB, EncryptionAlgorithm, KeyId: keyArn(KeyId) };
  const { CiphertextBlob } = await answers(
    kms,
    'Encrypt',
    { KeyId, Plaintext: MESSAGE, EncryptionAlgorithm },
    encrypted,
  );
  const decrypted = { EncryptionAlgorithm, KeyId: keyArn(KeyId), Plaintext: MESSAGE };
  await answers(kms, 'Decrypt', { KeyId, CiphertextBlob, EncryptionAlgorithm }, decrypted);
  await refuses(kms, 'Decrypt', { KeyId, CiphertextBlob }, 'InvalidCiphertextException', '');
  for (const length of [10, 256]) {
    const garbage = Buffer.alloc(length, 1).toString('base64');
    const input = { KeyId, CiphertextBlob: garbage, EncryptionAlgorithm };
    await refuses(kms, 'Decrypt', input, 'InvalidCiphertextException', '');
  }
});

test('ReEncrypt', async () => {
  const SourceKeyId = await createKey(kms);
  const DestinationKeyId = await createKey(kms);
  const { CiphertextBlob } = (await call(kms, 'Encrypt', { KeyId: SourceKeyId, Plaintext: MESSAGE })) ?? {};
  await answers(
    kms,
    'ReEncrypt',
    { CiphertextBlob, SourceKeyId, DestinationKeyId },
    {
      CiphertextBlob: BLOB,
      DestinationEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      DestinationKeyMaterialId: MATERIAL_ID,
      KeyId: keyArn(DestinationKeyId),
      SourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      SourceKeyId: keyArn(SourceKeyId),
      SourceKeyMaterialId: MATERIAL_ID,
    },
  );
});

test('data keys and data key pairs', async () => {
  const KeyId = await createKey(kms);
  const common = { KeyId: keyArn(KeyId), KeyMaterialId: MATERIAL_ID };
  const EncryptionContext = { 'context-key': 'context-value' };
  for (const [action, input, blob, members] of [
    ['GenerateDataKey', { KeySpec: 'AES_256' }, 'CiphertextBlob', { Plaintext: BLOB }],
    ['GenerateDataKeyWithoutPlaintext', { KeySpec: 'AES_256' }, 'CiphertextBlob', {}],
    [
      'GenerateDataKeyPair',
      { KeyPairSpec: 'RSA_2048' },
      'PrivateKeyCiphertextBlob',
      { KeyPairSpec: 'RSA_2048', PrivateKeyPlaintext: BLOB, PublicKey: BLOB },
    ],
    [
      'GenerateDataKeyPairWithoutPlaintext',
      { KeyPairSpec: 'RSA_2048' },
      'PrivateKeyCiphertextBlob',
      { KeyPairSpec: 'RSA_2048', PublicKey: BLOB },
    ],
  ] as const) {
    const answer = await answers(
      kms,
      action,
      { KeyId, ...input, EncryptionContext },
      { ...common, [blob]: BLOB, ...members },
    );
    await refuses(kms, 'Decrypt', { KeyId, CiphertextBlob: answer[blob] }, 'InvalidCiphertextException', '');
    await refuses(
      kms,
      action,
      { KeyId, ...input, DryRun: true },
      'DryRunOperationException',
      'The request would have succeeded, but the DryRun option is set.',
    );
  }
});

test('GenerateDataKey: lengths, and keys that are not symmetric', async () => {
  const KeyId = await createKey(kms);
  for (const input of [{}, { KeySpec: 'AES_256', NumberOfBytes: 32 }]) {
    const message = 'Please specify either number of bytes or key spec.';
    await refuses(kms, 'GenerateDataKey', { KeyId, ...input }, 'ValidationException', message);
  }
  for (const [input, bytes] of [
    [{ KeySpec: 'AES_128' }, 16],
    [{ NumberOfBytes: 7 }, 7],
  ] as const) {
    const { Plaintext } = (await call(kms, 'GenerateDataKey', { KeyId, ...input })) ?? {};
    assert.equal(Buffer.from(String(Plaintext), 'base64').length, bytes);
  }
  const rsa = await createKey(kms, { KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' });
  const message = 'You cannot generate a data key with an asymmetric CMK';
  await refuses(
    kms,
    'GenerateDataKey',
    { KeyId: rsa, KeySpec: 'AES_256' },
    'InvalidKeyUsageException',
    message,
  );
});

test('DeriveSharedSecret', async () => {
  const [one, other, signing] = await Promise.all(
    ['KEY_AGREEMENT', 'KEY_AGREEMENT', 'SIGN_VERIFY'].map((KeyUsage) =>
      createKey(kms, { KeySpec: 'ECC_NIST_P256', KeyUsage }),
    ),
  );
  const KeyAgreementAlgorithm = 'ECDH';
  const PublicKey = (await call(kms, 'GetPublicKey', { KeyId: other }))?.['PublicKey'];
  await answers(
    kms,
    'DeriveSharedSecret',
    { KeyId: one, KeyAgreementAlgorithm, PublicKey },
    { KeyAgreementAlgorithm, KeyId: keyArn(String(one)), KeyOrigin: 'AWS_KMS', SharedSecret: BLOB },
  );
  const symmetric = await createKey(kms);
  for (const [KeyId, usage] of [
    [signing, 'SIGN_VERIFY'],
    [symmetric, 'ENCRYPT_DECRYPT'],
  ]) {
    await refuses(
      kms,
      'DeriveSharedSecret',
      { KeyId, KeyAgreementAlgorithm, PublicKey },
      'InvalidKeyUsageException',
      `${keyArn(String(KeyId))} key usage is ${usage} which is not valid for DeriveSharedSecret.`,
    );
  }
  await refuses(
    kms,
    'DeriveSharedSecret',
    { KeyId: one, KeyAgreementAlgorithm: 'INVALID', PublicKey },
    'ValidationException',
    "1 validation error detected: Value 'INVALID' at 'keyAgreementAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [ECDH]",
  );
  const noKey = { KeyId: one, KeyAgreementAlgorithm, PublicKey: base64('InvalidPublicKey') };
  await refuses(kms, 'DeriveSharedSecret', noKey, 'ValidationException', '');
});
