// Goal: DeriveSharedSecret gives both sides the secret of ECDH, seen through the real SDK.
import assert from 'node:assert/strict';
import { createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import { after, before, test } from 'node:test';
import {
  CreateKeyCommand,
  DeriveSharedSecretCommand,
  GetPublicKeyCommand,
  type KeyAgreementAlgorithmSpec,
  type KeyUsageType,
  type KMSClient,
} from '@aws-sdk/client-kms';
import type { NistCurveSpec } from '../keys/key-specs.js';
import { startTestService, type TestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

let kms: TestService;
let client: KMSClient;

before(async () => {
  kms = await startTestService();
  client = kms.client();
});
after(() => kms.close());

async function createKey(
  KeySpec: NistCurveSpec,
  KeyUsage: KeyUsageType = 'KEY_AGREEMENT',
): Promise<{ readonly arn: string; readonly publicKey: Uint8Array }> {
  const { KeyMetadata } = await client.send(new CreateKeyCommand({ KeySpec, KeyUsage }));
  const arn = KeyMetadata?.Arn ?? '';
  const { PublicKey } = await client.send(new GetPublicKeyCommand({ KeyId: arn }));
  return { arn, publicKey: PublicKey as Uint8Array };
}

const derive = (KeyId: string, PublicKey: Uint8Array, algorithm = 'ECDH') =>
  client.send(
    new DeriveSharedSecretCommand({
      KeyId,
      KeyAgreementAlgorithm: algorithm as KeyAgreementAlgorithmSpec,
      PublicKey,
    }),
  );

for (const [spec, curve, bytes] of [
  ['ECC_NIST_P256', 'P-256', 32],
  ['ECC_NIST_P384', 'P-384', 48],
  ['ECC_NIST_P521', 'P-521', 66],
] as const) {
  test(`${spec}: both sides, inside and outside, share a secret`, async () => {
    const one = await createKey(spec);
    const two = await createKey(spec);
    const answer = await derive(one.arn, two.publicKey);
    assert.equal(answer.SharedSecret?.length, bytes);
    assert.equal(answer.KeyId, one.arn);
    assert.equal(answer.KeyOrigin, 'AWS_KMS');
    assert.equal(answer.KeyAgreementAlgorithm, 'ECDH');
    assert.deepEqual((await derive(two.arn, one.publicKey)).SharedSecret, answer.SharedSecret);

    const outside = generateKeyPairSync('ec', { namedCurve: curve });
    const { SharedSecret } = await derive(one.arn, outside.publicKey.export({ type: 'spki', format: 'der' }));
    const expected = diffieHellman({
      privateKey: outside.privateKey,
      publicKey: createPublicKey({ key: Buffer.from(one.publicKey), type: 'spki', format: 'der' }),
    });
    assert.deepEqual(Buffer.from(SharedSecret ?? []), expected);
  });
}

test('what is no public key of the curve is refused', async () => {
  const { arn, publicKey } = await createKey('ECC_NIST_P256');
  const other = await createKey('ECC_NIST_P384');
  const offCurve = Buffer.from(publicKey);
  offCurve[offCurve.length - 1] = (offCurve[offCurve.length - 1] as number) ^ 1;
  for (const wrong of [
    Buffer.from('InvalidPublicKey'),
    publicKey.subarray(0, 80),
    offCurve,
    other.publicKey,
    generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'der' }),
  ]) {
    await rejectsWith(derive(arn, wrong), 'ValidationException');
  }
  await rejectsWith(
    derive(arn, publicKey, 'INVALID'),
    'ValidationException',
    "1 validation error detected: Value 'INVALID' at 'keyAgreementAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [ECDH]",
  );
});

test('keys of other usages do not agree', async () => {
  const { arn, publicKey } = await createKey('ECC_NIST_P256', 'SIGN_VERIFY');
  await rejectsWith(
    derive(arn, publicKey),
    'InvalidKeyUsageException',
    `${arn} key usage is SIGN_VERIFY which is not valid for DeriveSharedSecret.`,
  );
});
