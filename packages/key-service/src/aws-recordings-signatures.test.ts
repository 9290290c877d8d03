// Goal: signatures and MACs are answered and refused as AWS does. Method: every call of the recordings that applies is made again, and
// its answer compared member by member, its refusal word by word.
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { ACCOUNT, REGION, startTestService, type TestService } from './testing/harness.js';
import { answers, BLOB, createKey, refuses } from './testing/recordings.js';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const MESSAGE = base64('test message !%$@ 1234567890');

let kms: TestService;
before(async () => {
  kms = await startTestService();
});
after(() => kms.close());

const keyArn = (keyId: string): string => `arn:aws:kms:${REGION}:${ACCOUNT}:key/${keyId}`;

for (const [KeySpec, algorithms] of [
  ['RSA_2048', ['RSASSA_PSS_SHA_256', 'RSASSA_PSS_SHA_384', 'RSASSA_PSS_SHA_512']],
  ['RSA_4096', ['RSASSA_PKCS1_V1_5_SHA_256', 'RSASSA_PKCS1_V1_5_SHA_512']],
  ['ECC_NIST_P256', ['ECDSA_SHA_256']],
  ['ECC_NIST_P384', ['ECDSA_SHA_384']],
  ['ECC_SECG_P256K1', ['ECDSA_SHA_256']],
] as const) {
  test(`Sign and Verify: ${KeySpec}`, async () => {
    const KeyId = await createKey(kms, { KeyUsage: 'SIGN_VERIFY', KeySpec });
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
  const ed25519 = await createKey(kms, { KeyUsage: 'SIGN_VERIFY', KeySpec: 'ECC_NIST_EDWARDS25519' });
  const mlDsa = await createKey(kms, { KeyUsage: 'SIGN_VERIFY', KeySpec: 'ML_DSA_44' });
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
    const KeyId = await createKey(kms, { KeySpec: `HMAC_${size}`, KeyUsage: 'GENERATE_VERIFY_MAC' });
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
