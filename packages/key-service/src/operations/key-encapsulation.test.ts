// Goal: Encapsulate and Decapsulate share ML-KEM's secret, seen through the real SDK; outsiders need the public key alone.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CreateKeyCommand,
  DecapsulateCommand,
  EncapsulateCommand,
  GetPublicKeyCommand,
  type KMSClient,
} from '@aws-sdk/client-kms';
import { ml_kem1024, ml_kem512, ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import type { MlKemSpec } from '../keys/key-specs.js';
import { startTestService, type TestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

let kms: TestService;
let client: KMSClient;

before(async () => {
  kms = await startTestService();
  client = kms.client();
});
after(() => kms.close());

const EncapsulationAlgorithm = 'ML_KEM';

async function createKey(KeySpec: MlKemSpec): Promise<string> {
  const { KeyMetadata } = await client.send(
    new CreateKeyCommand({ KeySpec, KeyUsage: 'ENCAPSULATE_DECAPSULATE' }),
  );
  assert.deepEqual(KeyMetadata?.EncapsulationAlgorithms, ['ML_KEM']);
  return KeyMetadata?.Arn ?? '';
}

const decapsulate = async (KeyId: string, SharedSecretCiphertextBlob: Uint8Array): Promise<Buffer> => {
  const answer = await client.send(
    new DecapsulateCommand({ KeyId, EncapsulationAlgorithm, SharedSecretCiphertextBlob }),
  );
  assert.equal(answer.KeyId, KeyId);
  return Buffer.from(answer.SharedSecret ?? []);
};

for (const [spec, ciphertextBytes, scheme] of [
  ['ML_KEM_512', 768, ml_kem512],
  ['ML_KEM_768', 1088, ml_kem768],
  ['ML_KEM_1024', 1568, ml_kem1024],
] as const) {
  test(`${spec}: both sides share a secret`, async () => {
    const KeyId = await createKey(spec);
    const made = await client.send(new EncapsulateCommand({ KeyId, EncapsulationAlgorithm }));
    const ciphertext = made.SharedSecretCiphertextBlob as Uint8Array;
    assert.equal(ciphertext.length, ciphertextBytes);
    assert.equal(made.SharedSecret?.length, 32);
    assert.deepEqual(await decapsulate(KeyId, ciphertext), Buffer.from(made.SharedSecret ?? []));

    const { PublicKey = new Uint8Array() } = await client.send(new GetPublicKeyCommand({ KeyId }));
    const outside = scheme.encapsulate(PublicKey.subarray(22));
    assert.deepEqual(await decapsulate(KeyId, outside.cipherText), Buffer.from(outside.sharedSecret));
  });
}

test('a changed ciphertext gives another secret, one of another length none', async () => {
  const KeyId = await createKey('ML_KEM_512');
  const { SharedSecret, SharedSecretCiphertextBlob } = await client.send(
    new EncapsulateCommand({ KeyId, EncapsulationAlgorithm }),
  );
  const changed = Buffer.from(SharedSecretCiphertextBlob ?? []);
  changed[100] = (changed[100] as number) ^ 1;
  const rejected = await decapsulate(KeyId, changed);
  assert.equal(rejected.length, 32);
  assert.notDeepEqual(rejected, Buffer.from(SharedSecret ?? []));
  assert.deepEqual(await decapsulate(KeyId, changed), rejected);
  for (const length of [1, 767, 769, 1088]) {
    await rejectsWith(decapsulate(KeyId, Buffer.alloc(length)), 'InvalidCiphertextException');
  }
});

test('keys of other usages do not encapsulate', async () => {
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.Arn ?? '';
  await rejectsWith(
    client.send(new EncapsulateCommand({ KeyId, EncapsulationAlgorithm })),
    'InvalidKeyUsageException',
    `${KeyId} key usage is ENCRYPT_DECRYPT which is not valid for Encapsulate.`,
  );
});
