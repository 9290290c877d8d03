// Goal: what rotation answers is what AWS answers. Method: every call of the recordings that applies is made again, and its answer
// compared member by member, its refusal word by word.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ACCOUNT, REGION, startTestService, type TestService } from './testing/harness.js';
import { answers, createKey, DATE, refuses } from './testing/recordings.js';

let kms: TestService;
before(async () => {
  kms = await startTestService();
});
after(() => kms.close());

const keyArn = (keyId: string): string => `arn:aws:kms:${REGION}:${ACCOUNT}:key/${keyId}`;

for (const RotationPeriodInDays of [90, 180]) {
  test(`EnableKeyRotation and GetKeyRotationStatus: ${RotationPeriodInDays} days`, async () => {
    const KeyId = await createKey(kms);
    await answers(kms, 'EnableKeyRotation', { KeyId, RotationPeriodInDays }, undefined);
    await answers(
      kms,
      'GetKeyRotationStatus',
      { KeyId },
      {
        KeyId: /./,
        KeyRotationEnabled: true,
        NextRotationDate: DATE,
        RotationPeriodInDays,
      },
    );
  });
}

test('RotateKeyOnDemand: names the key by its ARN, and leaves the period alone', async () => {
  const KeyId = await createKey(kms);
  await answers(kms, 'RotateKeyOnDemand', { KeyId }, { KeyId: keyArn(KeyId) });
  await answers(kms, 'GetKeyRotationStatus', { KeyId }, { KeyId: /./, KeyRotationEnabled: false });
  await answers(kms, 'EnableKeyRotation', { KeyId }, undefined);
  const status = { KeyId: /./, KeyRotationEnabled: true, NextRotationDate: DATE, RotationPeriodInDays: 365 };
  const before = await answers(kms, 'GetKeyRotationStatus', { KeyId }, status);
  await answers(kms, 'RotateKeyOnDemand', { KeyId }, { KeyId: keyArn(KeyId) });
  assert.deepEqual(await answers(kms, 'GetKeyRotationStatus', { KeyId }, status), before);
});

test('RotateKeyOnDemand: keys it refuses', async () => {
  const absent = '1234abcd-12ab-34cd-56ef-1234567890ab';
  await refuses(
    kms,
    'RotateKeyOnDemand',
    { KeyId: absent },
    'NotFoundException',
    `Key '${keyArn(absent)}' does not exist`,
  );
  const KeyId = await createKey(kms, { KeyUsage: 'ENCRYPT_DECRYPT', KeySpec: 'RSA_2048' });
  await refuses(kms, 'RotateKeyOnDemand', { KeyId }, 'UnsupportedOperationException', '');
  await answers(kms, 'DisableKey', { KeyId }, undefined);
  await refuses(kms, 'RotateKeyOnDemand', { KeyId }, 'DisabledException', `${keyArn(KeyId)} is disabled.`);
  const external = await createKey(kms, { Origin: 'EXTERNAL' });
  await refuses(
    kms,
    'RotateKeyOnDemand',
    { KeyId: external },
    'KMSInvalidStateException',
    `${keyArn(external)} is pending import.`,
  );
});
