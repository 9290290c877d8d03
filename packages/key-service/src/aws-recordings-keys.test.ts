// Goal: what keys, aliases, tags and rotation answer is what AWS answers. Method: every call of the recordings that applies is made
// again, and its answer compared member by member, its refusal word by word.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ACCOUNT, REGION, startTestService, type TestService } from './testing/harness.js';
import { answers, createKey, DATE, MATERIAL_ID, type Members, refuses } from './testing/recordings.js';

const ELSEWHERE = 'ap-southeast-1';
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const ABSENT = '134f2428-cec1-4b25-a1ae-9048164dba47';

let kms: TestService;
before(async () => {
  kms = await startTestService();
});
after(() => kms.close());

const keyArn = (keyId: string, region = REGION): string => `arn:aws:kms:${region}:${ACCOUNT}:key/${keyId}`;
const ownArn = (region = REGION): RegExp =>
  new RegExp(`^arn:aws:kms:${region}:${ACCOUNT}:key/[0-9a-f-]{36}$`);

/** KeyMetadata of a new symmetric key; `more` replaces and adds. */
const symmetric = (more: Members = {}): Members => ({
  AWSAccountId: ACCOUNT,
  Arn: ownArn(),
  CreationDate: DATE,
  CurrentKeyMaterialId: MATERIAL_ID,
  CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
  Description: '',
  Enabled: true,
  EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
  KeyId: UUID,
  KeyManager: 'CUSTOMER',
  KeySpec: 'SYMMETRIC_DEFAULT',
  KeyState: 'Enabled',
  KeyUsage: 'ENCRYPT_DECRYPT',
  MultiRegion: false,
  Origin: 'AWS_KMS',
  ...more,
});

test('CreateKey and DescribeKey: a symmetric key', async () => {
  const input = { Description: 'test key 123', KeyUsage: 'ENCRYPT_DECRYPT' };
  const KeyMetadata = symmetric({ Description: 'test key 123' });
  const created = (await answers(kms, 'CreateKey', input, { KeyMetadata })) as {
    KeyMetadata: { KeyId: string };
  };
  await answers(kms, 'DescribeKey', { KeyId: created.KeyMetadata.KeyId }, { KeyMetadata });
});

test('CreateKey and DescribeKey: an HMAC key', async () => {
  const { CurrentKeyMaterialId: _, EncryptionAlgorithms: __, ...common } = symmetric();
  const KeyMetadata = {
    ...common,
    CustomerMasterKeySpec: 'HMAC_256',
    Description: 'test key',
    KeySpec: 'HMAC_256',
    KeyUsage: 'GENERATE_VERIFY_MAC',
    MacAlgorithms: ['HMAC_SHA_256'],
  };
  const input = { Description: 'test key', KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' };
  const created = (await answers(kms, 'CreateKey', input, { KeyMetadata })) as {
    KeyMetadata: { KeyId: string };
  };
  await answers(kms, 'DescribeKey', { KeyId: created.KeyMetadata.KeyId }, { KeyMetadata });
});

test('CreateKey: a spec without a usage, and one that does not go with it', async () => {
  await refuses(
    kms,
    'CreateKey',
    { KeySpec: 'HMAC_256' },
    'ValidationException',
    'You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.',
  );
  await refuses(
    kms,
    'CreateKey',
    { KeySpec: 'RSA_2048', KeyUsage: 'KEY_AGREEMENT' },
    'ValidationException',
    'KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048',
  );
});

test('DescribeKey: by alias ARN', async () => {
  const keyId = await createKey(kms, { Description: 'test - description' });
  await answers(kms, 'CreateAlias', { TargetKeyId: keyId, AliasName: 'alias/by-arn' }, undefined);
  const KeyMetadata = symmetric({ Description: 'test - description', KeyId: keyId, Arn: keyArn(keyId) });
  const aliasArn = `arn:aws:kms:${REGION}:${ACCOUNT}:alias/by-arn`;
  await answers(kms, 'DescribeKey', { KeyId: aliasArn }, { KeyMetadata });
});

test('DescribeKey: a key of another Region', async () => {
  const keyId = await createKey(kms, { Description: 'test key 123' }, { region: ELSEWHERE });
  const there = keyArn(keyId, ELSEWHERE);
  const absent = `Key '${keyArn(keyId)}' does not exist`;
  await refuses(kms, 'DescribeKey', { KeyId: keyId }, 'NotFoundException', absent);
  await refuses(kms, 'DescribeKey', { KeyId: there }, 'NotFoundException', `Invalid arn ${ELSEWHERE}`);
  const KeyMetadata = symmetric({ Arn: there, Description: 'test key 123', KeyId: keyId });
  for (const KeyId of [keyId, there]) {
    await answers(kms, 'DescribeKey', { KeyId }, { KeyMetadata }, { region: ELSEWHERE });
  }
});

test('DescribeKey: a key that does not exist, and ids that are none', async () => {
  const multiRegion = 'mrk-d3b95762d3b95762d3b95762d3b95762';
  for (const [KeyId, arn] of [
    [ABSENT, keyArn(ABSENT)],
    [keyArn(ABSENT), keyArn(ABSENT)],
    [multiRegion, keyArn(multiRegion)],
  ] as const) {
    await refuses(kms, 'DescribeKey', { KeyId }, 'NotFoundException', `Key '${arn}' does not exist`);
  }
  for (const KeyId of [
    'fake-key-id',
    '134f2428cec14b25a1ae9048164dba47',
    'mrk-fake-key-id',
    'allas/aws/ssm',
    'aws/s3',
  ]) {
    await refuses(kms, 'DescribeKey', { KeyId }, 'NotFoundException', `Invalid keyId '${KeyId}'`);
  }
  await refuses(kms, 'DescribeKey', { KeyId: keyArn('fake') }, 'NotFoundException', 'Invalid keyId fake');
});

test('multi-Region keys', async () => {
  const id = /^mrk-[0-9a-f]{32}$/;
  const configuration = (type: string, arn: unknown, replicas: readonly unknown[]): Members => ({
    MultiRegionKeyType: type,
    PrimaryKey: { Arn: arn, Region: REGION },
    ReplicaKeys: replicas,
  });
  const input = { MultiRegion: true, Description: 'test multi region key' };
  const created = (await answers(kms, 'CreateKey', input, {
    KeyMetadata: symmetric({
      Arn: /key\/mrk-/,
      Description: 'test multi region key',
      KeyId: id,
      MultiRegion: true,
      MultiRegionConfiguration: configuration('PRIMARY', /key\/mrk-/, []),
    }),
  })) as { KeyMetadata: { KeyId: string } };
  const { KeyId } = created.KeyMetadata;
  const here = keyArn(KeyId);
  const there = keyArn(KeyId, ELSEWHERE);
  await refuses(kms, 'DescribeKey', { KeyId }, 'NotFoundException', `Key '${there}' does not exist`, {
    region: ELSEWHERE,
  });

  const replicas = [{ Arn: there, Region: ELSEWHERE }];
  const replicated = await answers(
    kms,
    'ReplicateKey',
    { KeyId, ReplicaRegion: ELSEWHERE },
    {
      ReplicaKeyMetadata: symmetric({
        Arn: there,
        Enabled: false,
        KeyId,
        KeyState: 'Creating',
        MultiRegion: true,
        MultiRegionConfiguration: configuration('REPLICA', here, replicas),
      }),
      ReplicaPolicy: /./,
    },
  );
  assert.deepEqual(JSON.parse(String(replicated['ReplicaPolicy'])), {
    Version: '2012-10-17',
    Id: 'key-default-1',
    Statement: [
      {
        Sid: 'Enable IAM User Permissions',
        Effect: 'Allow',
        Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` },
        Action: 'kms:*',
        Resource: '*',
      },
    ],
  });
  await answers(
    kms,
    'DescribeKey',
    { KeyId },
    {
      KeyMetadata: symmetric({
        Arn: here,
        Description: 'test multi region key',
        KeyId,
        MultiRegion: true,
        MultiRegionConfiguration: configuration('PRIMARY', here, replicas),
      }),
    },
  );
  await refuses(
    kms,
    'ReplicateKey',
    { KeyId, ReplicaRegion: ELSEWHERE },
    'UnsupportedOperationException',
    `${there} is not a multi-region primary key.`,
    { region: ELSEWHERE },
  );
});

test('ScheduleKeyDeletion and CancelKeyDeletion', async () => {
  const KeyId = await createKey(kms);
  await refuses(
    kms,
    'ScheduleKeyDeletion',
    { KeyId, PendingWindowInDays: 1 },
    'ValidationException',
    'PendingWindowInDays must be between 7 and 30',
  );
  await answers(
    kms,
    'ScheduleKeyDeletion',
    { KeyId },
    {
      DeletionDate: DATE,
      KeyId: keyArn(KeyId),
      KeyState: 'PendingDeletion',
      PendingWindowInDays: 30,
    },
  );
  const pending = { DeletionDate: DATE, Enabled: false, KeyState: 'PendingDeletion' };
  await answers(kms, 'DescribeKey', { KeyId }, { KeyMetadata: symmetric(pending) });
  await refuses(
    kms,
    'ScheduleKeyDeletion',
    { KeyId },
    'KMSInvalidStateException',
    `${keyArn(KeyId)} is pending deletion.`,
  );
  await answers(kms, 'CancelKeyDeletion', { KeyId }, { KeyId: keyArn(KeyId) });
  await answers(
    kms,
    'DescribeKey',
    { KeyId },
    {
      KeyMetadata: symmetric({ Enabled: false, KeyState: 'Disabled' }),
    },
  );
});
