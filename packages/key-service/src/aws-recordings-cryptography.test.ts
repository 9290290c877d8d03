// Goal: what keys do answers what AWS answers. Method: every call of the recordings that applies is made again, and its answer
// compared member by member, its refusal word by word.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { ACCOUNT, REGION, startTestService, type TestService } from './testing/harness.js';
import { answers, BLOB, call, MATERIAL_ID, type Members, refuses } from './testing/recordings.js';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const MESSAGE = base64('test message !%$@ 1234567890');

let kms: TestService;
before(async () => {
  kms = await startTestService();
});
after(() => kms.close());

const keyArn = (keyId: string): string => `arn:aws:kms:${REGION}:${ACCOUNT}:key/${keyId}`;

async function createKey(input: Members = {}): Promise<string> {
  const { KeyMetadata } = (await call(kms, 'CreateKey', input)) as { KeyMetadata: { KeyId: string } };
  return KeyMetadata.KeyId;
}

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
    const KeyId = await createKey({ KeyUsage: 'ENCRYPT_DECRYPT', KeySpec });
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

for (const [KeySpec, algorithms] of [
  ['RSA_2048', ['RSASSA_PSS_SHA_256', 'RSASSA_PSS_SHA_384', 'RSASSA_PSS_SHA_512']],
  ['RSA_4096', ['RSASSA_PKCS1_V1_5_SHA_256', 'RSASSA_PKCS1_V1_5_SHA_512']],
  ['ECC_NIST_P256', ['ECDSA_SHA_256']],
  ['ECC_NIST_P384', ['ECDSA_SHA_384']],
  ['ECC_SECG_P256K1', ['ECDSA_SHA_256']],
] as const) {
  test(`Sign and Verify: ${KeySpec}`, async () => {
    const KeyId = await createKey({ KeyUsage: 'SIGN_VERIFY', KeySpec });
    const arn = keyArn(KeyId);
    for (const SigningAlgorithm of algorithms) {
      const common = { KeyId, SigningAlgorithm };
      const raw = { ...common, MessageType: 'RAW', Message: MESSAGE };
      const hash = SigningAlgorithm.slice(-7).replace('_', '').toLowerCase();
      const hashed = createHash(hash).update(Buffer.from(MESSAGE, 'base64')).digest('base64');
      const digest = { ...common, MessageType: 'DIGEST', Message: hashed };
      const signed = { KeyId: arn, Signature: BLOB, SigningAlgorithm };
      const verified = { KeyId: arn, SignatureValid: true, SigningAlgorithm };
      const { Signature } = await answers(kms, 'Sign', raw, signed);
      await answers(kms, 'Verify', { ...raw, Signature }, verified);
      const { Signature: ofDigest } = await answers(kms, 'Sign', digest, signed);
      await answers(kms, 'Verify', { ...digest, Signature: ofDigest }, verified);

      const wrongLength = `Digest is invalid length for algorithm ${SigningAlgorithm}.`;
      const bad = { ...common, MessageType: 'DIGEST', Message: MESSAGE };
      await refuses(kms, 'Sign', bad, 'ValidationException', wrongLength);
      await refuses(kms, 'Verify', { ...bad, Signature }, 'ValidationException', wrongLength);
      const { Signature: other } = await answers(kms, 'Sign', { ...raw, Message: base64('bad') }, signed);
      for (const input of [
        { ...raw, Signature: other },
        { ...raw, Message: base64('bad message 321'), Signature },
        { ...raw, Signature: 'AAAAAAAAAAAAAA==' },
        { ...raw, Signature: Buffer.alloc(6144, 97).toString('base64') },
      ]) {
        await refuses(kms, 'Verify', input, 'KMSInvalidSignatureException', '');
      }
    }
  });
}

test('Sign: what Ed25519 and ML-DSA keys refuse', async () => {
  const ed25519 = await createKey({ KeyUsage: 'SIGN_VERIFY', KeySpec: 'ECC_NIST_EDWARDS25519' });
  const mlDsa = await createKey({ KeyUsage: 'SIGN_VERIFY', KeySpec: 'ML_DSA_44' });
  for (const [KeyId, SigningAlgorithm, MessageType, code, message] of [
    [
      ed25519,
      'ED25519_SHA_512',
      'DIGEST',
      'ValidationException',
      'Message type DIGEST is incompatible with algorithm ED25519_SHA_512.',
    ],
    [
      ed25519,
      'ED25519_PH_SHA_512',
      'RAW',
      'ValidationException',
      'Message type RAW is incompatible with algorithm ED25519_PH_SHA_512.',
    ],
    [
      ed25519,
      'ED25519_PH_SHA_512',
      'DIGEST',
      'ValidationException',
      'Digest is invalid length for algorithm ED25519_PH_SHA_512.',
    ],
    [
      ed25519,
      'ECDSA_SHA_512',
      'RAW',
      'InvalidKeyUsageException',
      'Algorithm ECDSA_SHA_512 is incompatible with key spec ECC_NIST_EDWARDS25519.',
    ],
    [
      mlDsa,
      'ML_DSA_SHAKE_256',
      'DIGEST',
      'ValidationException',
      'Message type DIGEST is incompatible with key spec ML_DSA_44.',
    ],
  ] as const) {
    await refuses(kms, 'Sign', { KeyId, SigningAlgorithm, MessageType, Message: MESSAGE }, code, message);
  }
});

for (const size of [224, 256, 384, 512]) {
  test(`GenerateMac and VerifyMac: HMAC_${size}`, async () => {
    const MacAlgorithm = `HMAC_SHA_${size}`;
    const KeyId = await createKey({ KeySpec: `HMAC_${size}`, KeyUsage: 'GENERATE_VERIFY_MAC' });
    const input = { KeyId, Message: base64('some important message'), MacAlgorithm };
    const { Mac } = await answers(kms, 'GenerateMac', input, {
      KeyId: keyArn(KeyId),
      Mac: BLOB,
      MacAlgorithm,
    });
    const verified = { KeyId: keyArn(KeyId), MacAlgorithm, MacValid: true };
    await answers(kms, 'VerifyMac', { ...input, Mac }, verified);
    const other = { ...input, Mac, Message: base64('some different important message') };
    await refuses(kms, 'VerifyMac', other, 'KMSInvalidMacException', '');
    for (const action of ['GenerateMac', 'VerifyMac']) {
      const nowhere = { ...input, KeyId: 'key_id', Mac };
      await refuses(kms, action, nowhere, 'NotFoundException', "Invalid keyId 'key_id'");
      await refuses(
        kms,
        action,
        { ...input, Mac, MacAlgorithm: 'INVALID' },
        'ValidationException',
        "1 validation error detected: Value 'INVALID' at 'macAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512]",
      );
      const wrong = size === 512 ? 'HMAC_SHA_256' : 'HMAC_SHA_512';
      await refuses(
        kms,
        action,
        { ...input, Mac, MacAlgorithm: wrong },
        'InvalidKeyUsageException',
        `Algorithm ${wrong} is incompatible with key spec HMAC_${size}.`,
      );
    }
  });
}

test('keys of the wrong usage, and a ciphertext of another key', async () => {
  const hmac = await createKey({ KeySpec: 'HMAC_224', KeyUsage: 'GENERATE_VERIFY_MAC' });
  const symmetric = await createKey();
  const signing = await createKey({ KeyUsage: 'SIGN_VERIFY', KeySpec: 'ECC_NIST_P256' });
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
  const KeyId = await createKey();
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
  const KeyId = await createKey({ KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' });
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
  const SourceKeyId = await createKey();
  const DestinationKeyId = await createKey();
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
  const KeyId = await createKey();
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
  const KeyId = await createKey();
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
  const rsa = await createKey({ KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' });
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
      createKey({ KeySpec: 'ECC_NIST_P256', KeyUsage }),
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
  const symmetric = await createKey();
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
