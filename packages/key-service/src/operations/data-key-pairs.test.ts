// Goal: data key pairs are standard key pairs whose private half decrypts to itself, seen through the real SDK.
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { after, before, test } from 'node:test';
import {
  CreateKeyCommand,
  type DataKeyPairSpec,
  DecryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyPairCommand,
  GenerateDataKeyPairWithoutPlaintextCommand,
  type KMSClient,
} from '@aws-sdk/client-kms';
import { startTestService, type TestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

let kms: TestService;
let client: KMSClient;
let arn: string;

before(async () => {
  kms = await startTestService();
  client = kms.client();
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
  arn = KeyMetadata?.Arn ?? '';
});
after(() => kms.close());

const SPECS: readonly DataKeyPairSpec[] = [
  'RSA_2048',
  'ECC_NIST_P256',
  'ECC_NIST_P384',
  'ECC_NIST_P521',
  'ECC_SECG_P256K1',
  'ECC_NIST_EDWARDS25519',
];

for (const KeyPairSpec of SPECS) {
  test(`${KeyPairSpec}: both halves belong together, the private one decrypts`, async () => {
    const EncryptionContext = { purpose: KeyPairSpec };
    const made = await client.send(
      new GenerateDataKeyPairCommand({ KeyId: arn, KeyPairSpec, EncryptionContext }),
    );
    assert.equal(made.KeyId, arn);
    assert.equal(made.KeyPairSpec, KeyPairSpec);
    const privateKey = createPrivateKey({
      key: Buffer.from(made.PrivateKeyPlaintext ?? []),
      type: 'pkcs8',
      format: 'der',
    });
    assert.deepEqual(
      createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
      Buffer.from(made.PublicKey ?? []),
    );
    const opened = await client.send(
      new DecryptCommand({ CiphertextBlob: made.PrivateKeyCiphertextBlob, EncryptionContext }),
    );
    assert.deepEqual(opened.Plaintext, made.PrivateKeyPlaintext);
    assert.equal(opened.KeyMaterialId, made.KeyMaterialId);
    await rejectsWith(
      client.send(new DecryptCommand({ CiphertextBlob: made.PrivateKeyCiphertextBlob })),
      'InvalidCiphertextException',
    );
  });
}

test('ML_KEM_768: the private half is a seed that decrypts', async () => {
  const made = await client.send(new GenerateDataKeyPairCommand({ KeyId: arn, KeyPairSpec: 'ML_KEM_768' }));
  assert.equal(made.PublicKey?.length, 1206);
  assert.equal(made.PrivateKeyPlaintext?.length, 86);
  const opened = await client.send(new DecryptCommand({ CiphertextBlob: made.PrivateKeyCiphertextBlob }));
  assert.deepEqual(opened.Plaintext, made.PrivateKeyPlaintext);
});

test('without plaintext the private half comes encrypted only', async () => {
  const made = await client.send(
    new GenerateDataKeyPairWithoutPlaintextCommand({ KeyId: arn, KeyPairSpec: 'ECC_NIST_P256' }),
  );
  assert.equal('PrivateKeyPlaintext' in made, false);
  const { Plaintext = [] } = await client.send(
    new DecryptCommand({ CiphertextBlob: made.PrivateKeyCiphertextBlob }),
  );
  const privateKey = createPrivateKey({ key: Buffer.from(Plaintext), type: 'pkcs8', format: 'der' });
  assert.deepEqual(
    createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
    Buffer.from(made.PublicKey ?? []),
  );
});

test('only symmetric keys wrap data keys', async () => {
  const createKey = async (KeyUsage: 'ENCRYPT_DECRYPT' | 'SIGN_VERIFY'): Promise<string> => {
    const { KeyMetadata } = await client.send(new CreateKeyCommand({ KeySpec: 'RSA_2048', KeyUsage }));
    return KeyMetadata?.Arn ?? '';
  };
  const encryption = await createKey('ENCRYPT_DECRYPT');
  const signing = await createKey('SIGN_VERIFY');
  const message = 'You cannot generate a data key with an asymmetric CMK';
  await rejectsWith(
    client.send(new GenerateDataKeyPairCommand({ KeyId: encryption, KeyPairSpec: 'ECC_NIST_P256' })),
    'InvalidKeyUsageException',
    message,
  );
  await rejectsWith(
    client.send(new GenerateDataKeyCommand({ KeyId: encryption, KeySpec: 'AES_256' })),
    'InvalidKeyUsageException',
    message,
  );
  await rejectsWith(
    client.send(new GenerateDataKeyCommand({ KeyId: signing, KeySpec: 'AES_256' })),
    'InvalidKeyUsageException',
    `${signing} key usage is SIGN_VERIFY which is not valid for GenerateDataKey.`,
  );
});

test('SM2, and answers for enclaves, are not supported', async () => {
  await rejectsWith(
    client.send(new GenerateDataKeyPairCommand({ KeyId: arn, KeyPairSpec: 'SM2' })),
    'UnsupportedOperationException',
  );
  await rejectsWith(
    client.send(
      new GenerateDataKeyPairCommand({
        KeyId: arn,
        KeyPairSpec: 'ECC_NIST_P256',
        Recipient: {
          KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256',
          AttestationDocument: Buffer.from('document'),
        },
      }),
    ),
    'UnsupportedOperationException',
  );
});
