// Goal: what keys, aliases, tags and rotation answer is what AWS answers. Method: every call of the recordings that applies is made
// again, and its answer compared member by member, its refusal word by word.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ACCOUNT, REGION, startTestService, type TestService } from './testing/harness.js';
import { answers, call, DATE, MATERIAL_ID, type Members, refuses } from './testing/recordings.js';

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

async function createKey(input: Members = {}, region = REGION): Promise<string> {
  const { KeyMetadata } = (await call(kms, 'CreateKey', input, { region })) as {
    KeyMetadata: { KeyId: string };
  };
  return KeyMetadata.KeyId;
}

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
  const keyId = await createKey({ Description: 'test - description' });
  await answers(kms, 'CreateAlias', { TargetKeyId: keyId, AliasName: 'alias/by-arn' }, undefined);
  const KeyMetadata = symmetric({ Description: 'test - description', KeyId: keyId, Arn: keyArn(keyId) });
  const aliasArn = `arn:aws:kms:${REGION}:${ACCOUNT}:alias/by-arn`;
  await answers(kms, 'DescribeKey', { KeyId: aliasArn }, { KeyMetadata });
});

test('DescribeKey: a key of another Region', async () => {
  const keyId = await createKey({ Description: 'test key 123' }, ELSEWHERE);
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

test('CreateAlias: a name without its prefix', async () => {
  await refuses(
    kms,
    'CreateAlias',
    { AliasName: 'abc', TargetKeyId: await createKey() },
    'ValidationException',
    'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html',
  );
});

test('aliases that exist, and that do not', async () => {
  const TargetKeyId = await createKey();
  await answers(kms, 'CreateAlias', { AliasName: 'alias/twice', TargetKeyId }, undefined);
  const arn = `arn:aws:kms:${REGION}:${ACCOUNT}:alias/twice`;
  await refuses(
    kms,
    'CreateAlias',
    { AliasName: 'alias/twice', TargetKeyId },
    'AlreadyExistsException',
    `An alias with the name ${arn} already exists`,
  );
  await answers(kms, 'DeleteAlias', { AliasName: 'alias/twice' }, undefined);
  for (const [action, input] of [
    ['DeleteAlias', { AliasName: 'alias/twice' }],
    ['UpdateAlias', { AliasName: 'alias/twice', TargetKeyId }],
    ['DescribeKey', { KeyId: 'alias/twice' }],
  ] as const) {
    await refuses(kms, action, input, 'NotFoundException', `Alias ${arn} is not found.`);
  }
});

const tag = (TagKey: string, TagValue: string): Members => ({ TagKey, TagValue });

test('tags: listed in the order they were put on, and replaced where they are', async () => {
  const KeyId = await createKey({
    Tags: [tag('tag1', 'value1'), tag('tag2', 'value2'), tag('tag3', 'value3')],
  });
  const Tags = [tag('tag4', 'value4'), tag('tag2', 'updated_value2'), tag('tag5', 'value5')];
  await answers(kms, 'TagResource', { KeyId, Tags }, undefined);
  await answers(
    kms,
    'ListResourceTags',
    { KeyId },
    {
      Tags: [
        tag('tag1', 'value1'),
        tag('tag2', 'updated_value2'),
        tag('tag3', 'value3'),
        tag('tag4', 'value4'),
        tag('tag5', 'value5'),
      ],
      Truncated: false,
    },
  );
  await answers(
    kms,
    'UntagResource',
    { KeyId, TagKeys: ['tag1', 'tag2', 'tag3', 'tag4', 'tag5', 'absent'] },
    undefined,
  );
  await answers(kms, 'ListResourceTags', { KeyId }, { Tags: [], Truncated: false });
});

test('tags that are refused', async () => {
  const KeyId = await createKey();
  const twice = { KeyId, Tags: [tag('tag1', 'value1'), tag('tag1', 'another-value1')] };
  await refuses(kms, 'TagResource', twice, 'TagException', 'Duplicate tag keys');
  const many = Array.from({ length: 51 }, (_, i) => tag(`key${i}`, `value${i}`));
  await refuses(kms, 'CreateKey', { Tags: many }, 'TagException', 'Too many tags');
  for (const key of ['aws:key1', 'AWS:key1']) {
    const Tags = [tag(key, 'value1')];
    await refuses(kms, 'CreateKey', { Tags }, 'TagException', 'Tags beginning with aws: are reserved');
    await refuses(
      kms,
      'TagResource',
      { KeyId, Tags },
      'TagException',
      'Tags beginning with aws: are reserved',
    );
  }
  for (const [one, path, max] of [
    [tag('a'.repeat(129), 'value1'), 'tagKey', 128],
    [tag('tag1', 'v'.repeat(257)), 'tagValue', 256],
  ] as const) {
    const value = String(path === 'tagKey' ? one['TagKey'] : one['TagValue']);
    await refuses(
      kms,
      'CreateKey',
      { Tags: [one] },
      'ValidationException',
      `1 validation error detected: Value '${value}' at 'tags.1.member.${path}' failed to satisfy constraint: Member must have length less than or equal to ${max}`,
    );
  }
});

for (const RotationPeriodInDays of [90, 180]) {
  test(`EnableKeyRotation and GetKeyRotationStatus: ${RotationPeriodInDays} days`, async () => {
    const KeyId = await createKey();
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
  const KeyId = await createKey();
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
  const KeyId = await createKey({ KeyUsage: 'ENCRYPT_DECRYPT', KeySpec: 'RSA_2048' });
  await refuses(kms, 'RotateKeyOnDemand', { KeyId }, 'UnsupportedOperationException', '');
  await answers(kms, 'DisableKey', { KeyId }, undefined);
  await refuses(kms, 'RotateKeyOnDemand', { KeyId }, 'DisabledException', `${keyArn(KeyId)} is disabled.`);
  const external = await createKey({ Origin: 'EXTERNAL' });
  await refuses(
    kms,
    'RotateKeyOnDemand',
    { KeyId: external },
    'KMSInvalidStateException',
    `${keyArn(external)} is pending import.`,
  );
});

test('ScheduleKeyDeletion and CancelKeyDeletion', async () => {
  const KeyId = await createKey();
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
