// Goal: RSA keys encrypt and decrypt as AWS's do: bare RSAES-OAEP that every other implementation reads and makes.
import assert from 'node:assert/strict';
import { constants, publicEncrypt, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import {
  CreateKeyCommand,
  DecryptCommand,
  type DecryptCommandInput,
  DisableKeyCommand,
  EncryptCommand,
  type EncryptionAlgorithmSpec,
  GetPublicKeyCommand,
  type KeySpec,
  type KeyUsageType,
  type KMSClient,
  ReEncryptCommand,
} from '@aws-sdk/client-kms';
import { startTestService, type TestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

let kms: TestService;
let client: KMSClient;
/** An RSA_2048 key that encrypts. */
let rsa: string;
let symmetric: string;

before(async () => {
  kms = await startTestService();
  client = kms.client();
  rsa = await createKey('RSA_2048');
  symmetric = await createKey('SYMMETRIC_DEFAULT');
});
after(() => kms.close());

async function createKey(KeySpec: KeySpec, KeyUsage: KeyUsageType = 'ENCRYPT_DECRYPT'): Promise<string> {
  const { KeyMetadata } = await client.send(new CreateKeyCommand({ KeySpec, KeyUsage }));
  return KeyMetadata?.Arn ?? '';
}

async function encrypt(
  KeyId: string,
  EncryptionAlgorithm: EncryptionAlgorithmSpec | undefined,
  Plaintext: Buffer,
): Promise<Uint8Array> {
  const answer = await client.send(
    new EncryptCommand({ KeyId, Plaintext, ...(EncryptionAlgorithm && { EncryptionAlgorithm }) }),
  );
  assert.equal(answer.KeyId, KeyId);
  assert.equal(answer.EncryptionAlgorithm, EncryptionAlgorithm ?? 'SYMMETRIC_DEFAULT');
  return answer.CiphertextBlob as Uint8Array;
}

const decrypt = (input: DecryptCommandInput) => client.send(new DecryptCommand(input));

for (const [spec, maxSha1, maxSha256] of [
  ['RSA_2048', 214, 190],
  ['RSA_3072', 342, 318],
  ['RSA_4096', 470, 446],
] as const) {
  test(`${spec} takes as much as OAEP leaves room for`, async () => {
    const KeyId = await createKey(spec);
    for (const [EncryptionAlgorithm, maxBytes] of [
      ['RSAES_OAEP_SHA_1', maxSha1],
      ['RSAES_OAEP_SHA_256', maxSha256],
    ] as const) {
      const plaintext = randomBytes(maxBytes);
      const CiphertextBlob = await encrypt(KeyId, EncryptionAlgorithm, plaintext);
      assert.equal(CiphertextBlob.length, Number(spec.slice(-4)) / 8);
      const opened = await decrypt({ KeyId, CiphertextBlob, EncryptionAlgorithm });
      assert.deepEqual(Buffer.from(opened.Plaintext ?? []), plaintext);
      assert.equal(opened.EncryptionAlgorithm, EncryptionAlgorithm);
      assert.equal('KeyMaterialId' in opened, false);
      await rejectsWith(
        encrypt(KeyId, EncryptionAlgorithm, randomBytes(maxBytes + 1)),
        'ValidationException',
        `Algorithm ${EncryptionAlgorithm} and key spec ${spec} cannot encrypt data larger than ${maxBytes} bytes.`,
      );
    }
  });
}

test('what is encrypted outside with the public key decrypts', async () => {
  const { PublicKey, EncryptionAlgorithms } = await client.send(new GetPublicKeyCommand({ KeyId: rsa }));
  assert.deepEqual(EncryptionAlgorithms, ['RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256']);
  const key = { key: Buffer.from(PublicKey ?? []), type: 'spki', format: 'der' } as const;
  for (const [oaepHash, EncryptionAlgorithm] of [
    ['sha1', 'RSAES_OAEP_SHA_1'],
    ['sha256', 'RSAES_OAEP_SHA_256'],
  ] as const) {
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    const CiphertextBlob = publicEncrypt({ ...key, padding, oaepHash }, Buffer.from('from outside'));
    const opened = await decrypt({ KeyId: rsa, CiphertextBlob, EncryptionAlgorithm });
    assert.equal(Buffer.from(opened.Plaintext ?? []).toString(), 'from outside');
  }
});

test('an RSA key does not encrypt without its algorithm', async () => {
  await rejectsWith(
    encrypt(rsa, undefined, Buffer.from('x')),
    'InvalidKeyUsageException',
    'Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.',
  );
});

test('an RSA ciphertext needs its key and its algorithm', async () => {
  const EncryptionAlgorithm = 'RSAES_OAEP_SHA_256';
  const CiphertextBlob = await encrypt(rsa, EncryptionAlgorithm, Buffer.from('x'));
  await rejectsWith(decrypt({ CiphertextBlob, EncryptionAlgorithm }), 'ValidationException');
  await rejectsWith(decrypt({ CiphertextBlob, KeyId: rsa }), 'InvalidCiphertextException');
  for (const wrong of [
    { CiphertextBlob, KeyId: rsa, EncryptionAlgorithm: 'RSAES_OAEP_SHA_1' } as const,
    { CiphertextBlob: randomBytes(256), KeyId: rsa, EncryptionAlgorithm } as const,
    { CiphertextBlob: randomBytes(10), KeyId: rsa, EncryptionAlgorithm } as const,
    { CiphertextBlob, KeyId: await createKey('RSA_2048'), EncryptionAlgorithm } as const,
  ]) {
    await rejectsWith(decrypt(wrong), 'InvalidCiphertextException');
  }
  await rejectsWith(
    decrypt({ CiphertextBlob, KeyId: symmetric, EncryptionAlgorithm }),
    'InvalidKeyUsageException',
    'Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT.',
  );
});

test('a symmetric ciphertext is not for the RSA key named beside it, whatever that is for', async () => {
  const CiphertextBlob = await encrypt(symmetric, undefined, Buffer.from('x'));
  const disabled = await createKey('SYMMETRIC_DEFAULT');
  await client.send(new DisableKeyCommand({ KeyId: disabled }));
  for (const KeyId of [rsa, await createKey('ECC_NIST_P256', 'SIGN_VERIFY'), disabled]) {
    await rejectsWith(
      decrypt({ CiphertextBlob, KeyId }),
      'IncorrectKeyException',
      'The key ID in the request does not identify a CMK that can perform this operation.',
    );
  }
});

test('an encryption context is for symmetric keys', async () => {
  const message = 'EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.';
  const EncryptionAlgorithm = 'RSAES_OAEP_SHA_256';
  const Plaintext = Buffer.from('x');
  await rejectsWith(
    client.send(
      new EncryptCommand({ KeyId: rsa, Plaintext, EncryptionAlgorithm, EncryptionContext: { a: 'b' } }),
    ),
    'ValidationException',
    message,
  );
  const CiphertextBlob = await encrypt(rsa, EncryptionAlgorithm, Plaintext);
  await rejectsWith(
    decrypt({ KeyId: rsa, CiphertextBlob, EncryptionAlgorithm, EncryptionContext: { a: 'b' } }),
    'ValidationException',
    message,
  );
  await decrypt({ KeyId: rsa, CiphertextBlob, EncryptionAlgorithm, EncryptionContext: {} });
});

test('keys for signatures do not encrypt, disabled ones neither', async () => {
  const signing = await createKey('RSA_2048', 'SIGN_VERIFY');
  await client.send(new DisableKeyCommand({ KeyId: signing }));
  await rejectsWith(
    encrypt(signing, 'RSAES_OAEP_SHA_256', Buffer.from('x')),
    'InvalidKeyUsageException',
    `${signing} key usage is SIGN_VERIFY which is not valid for Encrypt.`,
  );
  const disabled = await createKey('RSA_2048');
  await client.send(new DisableKeyCommand({ KeyId: disabled }));
  await rejectsWith(
    decrypt({ KeyId: disabled, CiphertextBlob: randomBytes(64), EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' }),
    'DisabledException',
    `${disabled} is disabled.`,
  );
});

test('ReEncrypt moves between symmetric and RSA keys', async () => {
  const Plaintext = Buffer.from('moving');
  const there = await client.send(
    new ReEncryptCommand({
      CiphertextBlob: await encrypt(symmetric, undefined, Plaintext),
      DestinationKeyId: rsa,
      DestinationEncryptionAlgorithm: 'RSAES_OAEP_SHA_256',
    }),
  );
  assert.equal(there.SourceEncryptionAlgorithm, 'SYMMETRIC_DEFAULT');
  assert.equal(there.DestinationEncryptionAlgorithm, 'RSAES_OAEP_SHA_256');
  assert.match(there.SourceKeyMaterialId ?? '', /^[0-9a-f]{64}$/);
  assert.equal('DestinationKeyMaterialId' in there, false);
  assert.equal(there.CiphertextBlob?.length, 256);
  const back = await client.send(
    new ReEncryptCommand({
      CiphertextBlob: there.CiphertextBlob,
      SourceKeyId: rsa,
      SourceEncryptionAlgorithm: 'RSAES_OAEP_SHA_256',
      DestinationKeyId: symmetric,
    }),
  );
  assert.equal(back.SourceKeyId, rsa);
  assert.equal('SourceKeyMaterialId' in back, false);
  const opened = await decrypt({ CiphertextBlob: back.CiphertextBlob });
  assert.deepEqual(Buffer.from(opened.Plaintext ?? []), Plaintext);
});

test('a dry run may leave the ciphertext out', async () => {
  const dry = { DryRun: true, DryRunModifiers: ['IGNORE_CIPHERTEXT'] } as const;
  await rejectsWith(
    decrypt({ KeyId: symmetric, DryRun: true, DryRunModifiers: [...dry.DryRunModifiers] }),
    'DryRunOperationException',
  );
  await rejectsWith(
    client.send(
      new ReEncryptCommand({
        SourceKeyId: symmetric,
        DestinationKeyId: rsa,
        DryRun: true,
        DryRunModifiers: [...dry.DryRunModifiers],
      }),
    ),
    'DryRunOperationException',
  );
  await rejectsWith(
    decrypt({ KeyId: symmetric, DryRun: true }),
    'ValidationException',
    "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null",
  );
  await rejectsWith(
    decrypt({ DryRun: true, DryRunModifiers: [...dry.DryRunModifiers] }),
    'ValidationException',
    "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null",
  );
});
