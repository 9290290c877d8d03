// Goal: which keys rotate, when, and how many times. Method: the real SDK, a moved clock. What imported and multi-Region keys add is in
// their own files.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  CancelKeyDeletionCommand,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  DescribeKeyCommand,
  DisableKeyCommand,
  DisableKeyRotationCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GetKeyRotationStatusCommand,
  type GetKeyRotationStatusResponse,
  type KMSClient,
  ListKeyRotationsCommand,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import { OTHER_ACCOUNT, startTestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

const START = Date.parse('2026-05-05T12:00:00Z');
const DAY_MS = 86_400_000;

interface Rotating {
  readonly clock: { nowMs: number };
  readonly client: (account?: 'admin' | 'foreigner') => KMSClient;
  readonly KeyId: string;
  readonly arn: string;
}

async function start(t: TestContext, input: CreateKeyCommandInput = {}): Promise<Rotating> {
  const clock = { nowMs: START };
  const kms = await startTestService({ now: () => clock.nowMs });
  t.after(() => kms.close());
  const { KeyMetadata } = await kms.client().send(new CreateKeyCommand(input));
  return {
    clock,
    client: (user) => kms.client(user),
    KeyId: KeyMetadata?.KeyId ?? '',
    arn: KeyMetadata?.Arn ?? '',
  };
}

async function statusOf({ client, KeyId }: Rotating): Promise<GetKeyRotationStatusResponse> {
  const { $metadata: _, ...status } = await client().send(new GetKeyRotationStatusCommand({ KeyId }));
  return status;
}

const rotationsOf = async ({ client, KeyId }: Rotating): Promise<readonly unknown[]> => {
  const { Rotations = [] } = await client().send(new ListKeyRotationsCommand({ KeyId }));
  return Rotations.map(({ RotationType, RotationDate }) => [RotationType, RotationDate?.getTime()]);
};

const use = ({ client, KeyId }: Rotating): Promise<unknown> =>
  client().send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));

test('the period is 90 to 2560 days', async (t) => {
  const { client, KeyId } = await start(t);
  for (const RotationPeriodInDays of [89, 2561]) {
    await rejectsWith(
      client().send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays })),
      'ValidationException',
    );
  }
  for (const RotationPeriodInDays of [90, 2560]) {
    await client().send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays }));
  }
});

test('a rotation on demand leaves the schedule of the automatic ones as it is', async (t) => {
  const key = await start(t);
  const { client, clock, KeyId } = key;
  await client().send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 100 }));
  clock.nowMs = START + 96 * DAY_MS;
  await client().send(new RotateKeyOnDemandCommand({ KeyId }));
  assert.equal((await statusOf(key)).NextRotationDate?.getTime(), START + 100 * DAY_MS);
  assert.equal((await statusOf(key)).OnDemandRotationStartDate, undefined);
  clock.nowMs = START + 100 * DAY_MS;
  await use(key);
  assert.deepEqual(await rotationsOf(key), [
    ['ON_DEMAND', START + 96 * DAY_MS],
    ['AUTOMATIC', START + 100 * DAY_MS],
  ]);
  assert.equal((await statusOf(key)).NextRotationDate?.getTime(), START + 200 * DAY_MS);
});

test('a disabled key is rotated when it is enabled again, one that waits for its deletion is not', async (t) => {
  const key = await start(t);
  const { client, clock, KeyId, arn } = key;
  await client().send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 90 }));
  await client().send(new DisableKeyCommand({ KeyId }));
  await rejectsWith(
    client().send(new RotateKeyOnDemandCommand({ KeyId })),
    'DisabledException',
    `${arn} is disabled.`,
  );
  clock.nowMs = START + 91 * DAY_MS;
  assert.deepEqual(await rotationsOf(key), []);
  assert.equal((await statusOf(key)).KeyRotationEnabled, true);
  await client().send(new ScheduleKeyDeletionCommand({ KeyId }));
  assert.deepEqual(await statusOf(key), { KeyId, KeyRotationEnabled: false });
  await client().send(new CancelKeyDeletionCommand({ KeyId }));
  assert.equal((await statusOf(key)).KeyRotationEnabled, true);
  await client().send(new EnableKeyCommand({ KeyId }));
  await use(key);
  assert.deepEqual(await rotationsOf(key), [['AUTOMATIC', START + 91 * DAY_MS]]);
});

test('answers name the material that was used', async (t) => {
  const { client, KeyId } = await start(t);
  const dataKeyMaterial = async (): Promise<string | undefined> => {
    const command = new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' });
    return (await client().send(command)).KeyMaterialId;
  };
  const current = async (): Promise<string | undefined> =>
    (await client().send(new DescribeKeyCommand({ KeyId }))).KeyMetadata?.CurrentKeyMaterialId;
  const before = await current();
  assert.equal(await dataKeyMaterial(), before);
  await client().send(new RotateKeyOnDemandCommand({ KeyId }));
  assert.notEqual(await current(), before);
  assert.equal(await dataKeyMaterial(), await current());
});

for (const [KeySpec, KeyUsage] of [
  ['HMAC_256', 'GENERATE_VERIFY_MAC'],
  ['ECC_NIST_P256', 'SIGN_VERIFY'],
] as const) {
  test(`${KeySpec} keys do not rotate`, async (t) => {
    const key = await start(t, { KeySpec, KeyUsage });
    const { client, KeyId } = key;
    assert.deepEqual(await statusOf(key), { KeyId, KeyRotationEnabled: false });
    await client().send(new DisableKeyRotationCommand({ KeyId }));
    for (const call of [
      () => client().send(new EnableKeyRotationCommand({ KeyId })),
      () => client().send(new RotateKeyOnDemandCommand({ KeyId })),
      () => client().send(new ListKeyRotationsCommand({ KeyId })),
    ]) {
      await rejectsWith(call(), 'UnsupportedOperationException');
    }
  });
}

test('rotations are not listed for other accounts', async (t) => {
  const { client, arn } = await start(t);
  assert.ok(!arn.includes(OTHER_ACCOUNT));
  await rejectsWith(
    client('foreigner').send(new ListKeyRotationsCommand({ KeyId: arn })),
    'AccessDeniedException',
  );
});
