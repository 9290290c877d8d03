// Goal: keys, aliases, tags, policies and rotation settings answer as AWS's do, seen through the real SDK.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  DeleteAliasCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  DisableKeyRotationCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  type KeySpec,
  type KeyUsageType,
  type KMSClient,
  ListAliasesCommand,
  ListKeyPoliciesCommand,
  ListKeyRotationsCommand,
  ListKeysCommand,
  ListResourceTagsCommand,
  paginateListKeys,
  PutKeyPolicyCommand,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateAliasCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { rejectsWith } from '../testing/rejects.js';
import { ACCOUNT, REGION, startTestService, type TestService } from '../testing/harness.js';

const NOW = Date.parse('2026-05-05T12:00:00.250Z');
const DAY_MS = 86_400_000;

let kms: TestService;
let client: KMSClient;

before(async () => {
  kms = await startTestService({ now: () => NOW });
  client = kms.client();
});
after(() => kms.close());

async function createKey(
  input: CreateKeyCommandInput = {},
): Promise<{ readonly keyId: string; readonly arn: string }> {
  const { KeyMetadata } = await client.send(new CreateKeyCommand(input));
  return { keyId: KeyMetadata?.KeyId ?? '', arn: KeyMetadata?.Arn ?? '' };
}

const encrypt = (KeyId: string): Promise<unknown> =>
  client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));

test('a new key', async () => {
  const { KeyMetadata } = await client.send(
    new CreateKeyCommand({ Description: 'a key', Tags: [{ TagKey: 'team', TagValue: 'a' }] }),
  );
  const { KeyId, CurrentKeyMaterialId, ...rest } = KeyMetadata ?? { KeyId: undefined };
  assert.match(KeyId ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.match(CurrentKeyMaterialId ?? '', /^[0-9a-f]{64}$/);
  assert.deepEqual(rest, {
    AWSAccountId: ACCOUNT,
    Arn: `arn:aws:kms:${REGION}:${ACCOUNT}:key/${KeyId}`,
    CreationDate: new Date(NOW),
    CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
    Description: 'a key',
    Enabled: true,
    EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
    KeyManager: 'CUSTOMER',
    KeySpec: 'SYMMETRIC_DEFAULT',
    KeyState: 'Enabled',
    KeyUsage: 'ENCRYPT_DECRYPT',
    MultiRegion: false,
    Origin: 'AWS_KMS',
  });
  const described = await client.send(new DescribeKeyCommand({ KeyId }));
  assert.deepEqual(described.KeyMetadata, KeyMetadata);
  const { Tags } = await client.send(new ListResourceTagsCommand({ KeyId }));
  assert.deepEqual(Tags, [{ TagKey: 'team', TagValue: 'a' }]);
});

test('a spec has its usages, and every other key needs one named', async () => {
  for (const KeySpec of ['RSA_2048', 'ECC_NIST_P256', 'HMAC_256', 'ML_DSA_44'] as const) {
    await rejectsWith(
      createKey({ KeySpec }),
      'ValidationException',
      'You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.',
    );
  }
  for (const [KeySpec, KeyUsage] of [
    ['SYMMETRIC_DEFAULT', 'SIGN_VERIFY'],
    ['RSA_2048', 'GENERATE_VERIFY_MAC'],
    ['RSA_2048', 'KEY_AGREEMENT'],
    ['ECC_NIST_P521', 'ENCRYPT_DECRYPT'],
    ['ECC_SECG_P256K1', 'KEY_AGREEMENT'],
    ['ECC_NIST_EDWARDS25519', 'KEY_AGREEMENT'],
    ['HMAC_256', 'SIGN_VERIFY'],
    ['ML_DSA_44', 'ENCRYPT_DECRYPT'],
  ] as const) {
    await rejectsWith(
      createKey({ KeySpec, KeyUsage }),
      'ValidationException',
      `KeyUsage ${KeyUsage} is not compatible with KeySpec ${KeySpec}`,
    );
  }
});

test('what this service does not make is refused, not made wrongly', async () => {
  await rejectsWith(createKey({ Origin: 'EXTERNAL_KEY_STORE' }), 'UnsupportedOperationException');
  await rejectsWith(createKey({ KeySpec: 'SM2', KeyUsage: 'SIGN_VERIFY' }), 'UnsupportedOperationException');
});

test('the deprecated name of the spec still works, for the specs it knew', async () => {
  const { KeyMetadata } = await client.send(
    new CreateKeyCommand({ CustomerMasterKeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }),
  );
  const { KeyId, Arn, CreationDate: _, ...rest } = KeyMetadata ?? { KeyId: undefined };
  assert.deepEqual(rest, {
    AWSAccountId: ACCOUNT,
    CustomerMasterKeySpec: 'ECC_NIST_P256',
    Description: '',
    Enabled: true,
    KeyManager: 'CUSTOMER',
    KeySpec: 'ECC_NIST_P256',
    KeyState: 'Enabled',
    KeyUsage: 'SIGN_VERIFY',
    MultiRegion: false,
    Origin: 'AWS_KMS',
    SigningAlgorithms: ['ECDSA_SHA_256'],
  });
  assert.deepEqual((await client.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata?.Arn, Arn);
  await rejectsWith(
    createKey({ CustomerMasterKeySpec: 'RSA_2048', KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' }),
    'ValidationException',
    'You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.',
  );
  await rejectsWith(
    createKey({ CustomerMasterKeySpec: 'ML_DSA_44' as 'RSA_2048', KeyUsage: 'SIGN_VERIFY' }),
    'ValidationException',
    "1 validation error detected: Value 'ML_DSA_44' at 'customerMasterKeySpec' failed to satisfy constraint: Member must satisfy enum value set: [RSA_2048, ECC_NIST_P384, ECC_NIST_P256, ECC_NIST_P521, HMAC_384, RSA_3072, ECC_SECG_P256K1, RSA_4096, SYMMETRIC_DEFAULT, HMAC_256, HMAC_224, HMAC_512]",
  );
});

test('an alias moves only to a key of the same kind and usage', async () => {
  const create = (KeySpec: KeySpec, KeyUsage: KeyUsageType) => createKey({ KeySpec, KeyUsage });
  const AliasName = 'alias/kinds';
  const signing = await create('ECC_NIST_P256', 'SIGN_VERIFY');
  await client.send(new CreateAliasCommand({ AliasName, TargetKeyId: signing.keyId }));
  const moveTo = ({ keyId }: { readonly keyId: string }): Promise<unknown> =>
    client.send(new UpdateAliasCommand({ AliasName, TargetKeyId: keyId }));
  await moveTo(await create('ECC_NIST_EDWARDS25519', 'SIGN_VERIFY'));
  for (const other of [
    await createKey(),
    await create('HMAC_256', 'GENERATE_VERIFY_MAC'),
    await create('ECC_NIST_P256', 'KEY_AGREEMENT'),
  ]) {
    await rejectsWith(moveTo(other), 'ValidationException');
  }
});

test('only symmetric keys rotate', async () => {
  const { KeyMetadata } = await client.send(
    new CreateKeyCommand({ KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' }),
  );
  const KeyId = KeyMetadata?.KeyId;
  for (const command of [new EnableKeyRotationCommand({ KeyId }), new RotateKeyOnDemandCommand({ KeyId })]) {
    await rejectsWith(client.send(command), 'UnsupportedOperationException');
  }
  await client.send(new DisableKeyRotationCommand({ KeyId }));
  const { KeyRotationEnabled } = await client.send(new GetKeyRotationStatusCommand({ KeyId }));
  assert.equal(KeyRotationEnabled, false);
});

test('several broken constraints are named together', async () => {
  await rejectsWith(
    client.send(new EnableKeyRotationCommand({ KeyId: '', RotationPeriodInDays: 89 })),
    'ValidationException',
    "3 validation errors detected: Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'keyId' failed to satisfy constraint: Member must satisfy regular expression pattern: ^\\p{ASCII}+$; Value '89' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value greater than or equal to 90",
  );
  await rejectsWith(
    client.send(new DescribeKeyCommand({ KeyId: undefined })),
    'ValidationException',
    "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null",
  );
});

test('keys are listed in pages, each once', async () => {
  const elsewhere = kms.client('admin', 'sa-east-1');
  const made = new Set<string | undefined>();
  for (let i = 0; i < 7; i++) made.add((await elsewhere.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId);
  const listed: (string | undefined)[] = [];
  for await (const { Keys = [] } of paginateListKeys({ client: elsewhere, pageSize: 3 }, {})) {
    assert.ok(Keys.length <= 3);
    listed.push(...Keys.map(({ KeyId }) => KeyId));
  }
  assert.equal(listed.length, 7);
  assert.deepEqual(new Set(listed), made);
  await rejectsWith(elsewhere.send(new ListKeysCommand({ Marker: 'bm90IG91cnM' })), 'InvalidMarkerException');
});

test('an alias is created, moved, listed and deleted', async () => {
  const first = await createKey();
  const second = await createKey();
  const AliasName = 'alias/app/main';
  await client.send(new CreateAliasCommand({ AliasName, TargetKeyId: first.arn }));
  await rejectsWith(
    client.send(new CreateAliasCommand({ AliasName, TargetKeyId: second.keyId })),
    'AlreadyExistsException',
    `An alias with the name arn:aws:kms:${REGION}:${ACCOUNT}:${AliasName} already exists`,
  );
  const listOf = async (KeyId: string): Promise<unknown> =>
    (await client.send(new ListAliasesCommand({ KeyId }))).Aliases;
  const entry = {
    AliasArn: `arn:aws:kms:${REGION}:${ACCOUNT}:${AliasName}`,
    AliasName,
    CreationDate: new Date(NOW),
    LastUpdatedDate: new Date(NOW),
  };
  assert.deepEqual(await listOf(first.keyId), [{ ...entry, TargetKeyId: first.keyId }]);
  await client.send(new UpdateAliasCommand({ AliasName, TargetKeyId: second.keyId }));
  assert.deepEqual(await listOf(first.keyId), []);
  assert.deepEqual(await listOf(second.keyId), [{ ...entry, TargetKeyId: second.keyId }]);
  const described = await client.send(new DescribeKeyCommand({ KeyId: AliasName }));
  assert.equal(described.KeyMetadata?.KeyId, second.keyId);
  await client.send(new DeleteAliasCommand({ AliasName }));
  const notFound = `Alias ${entry.AliasArn} is not found.`;
  await rejectsWith(client.send(new DeleteAliasCommand({ AliasName })), 'NotFoundException', notFound);
  await rejectsWith(
    client.send(new UpdateAliasCommand({ AliasName, TargetKeyId: first.keyId })),
    'NotFoundException',
    notFound,
  );
});

test('names an alias cannot have', async () => {
  const { keyId } = await createKey();
  const create = (AliasName: string, TargetKeyId = keyId): Promise<unknown> =>
    client.send(new CreateAliasCommand({ AliasName, TargetKeyId }));
  await rejectsWith(
    create('no-prefix'),
    'ValidationException',
    'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html',
  );
  await rejectsWith(create('alias/aws/s3'), 'NotAuthorizedException');
  await rejectsWith(
    create('alias/a b'),
    'ValidationException',
    "1 validation error detected: Value 'alias/a b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
  );
  await rejectsWith(
    create('alias/x', 'alias/y'),
    'ValidationException',
    'Aliases must refer to keys. Not aliases',
  );
});

test('operations on the key itself take no alias', async () => {
  const { keyId } = await createKey();
  await client.send(new CreateAliasCommand({ AliasName: 'alias/not-here', TargetKeyId: keyId }));
  for (const KeyId of ['alias/not-here', `arn:aws:kms:eu-central-1:${ACCOUNT}:alias/not-here`]) {
    await rejectsWith(
      client.send(new DisableKeyCommand({ KeyId })),
      'InvalidArnException',
      'Key Aliases are not supported for this operation.',
    );
  }
});

test('a disabled key encrypts nothing until it is enabled', async () => {
  const { keyId, arn } = await createKey();
  await client.send(new DisableKeyCommand({ KeyId: keyId }));
  const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId: keyId }));
  assert.equal(KeyMetadata?.Enabled, false);
  assert.equal(KeyMetadata?.KeyState, 'Disabled');
  await rejectsWith(encrypt(keyId), 'DisabledException', `${arn} is disabled.`);
  await rejectsWith(client.send(new EnableKeyRotationCommand({ KeyId: keyId })), 'DisabledException');
  await client.send(new EnableKeyCommand({ KeyId: keyId }));
  await encrypt(keyId);
});

test('a key pending deletion can only be looked at or kept', async () => {
  const { keyId, arn } = await createKey();
  const answer = await client.send(new ScheduleKeyDeletionCommand({ KeyId: keyId, PendingWindowInDays: 7 }));
  const { $metadata: _, ...scheduled } = answer;
  assert.deepEqual(scheduled, {
    KeyId: arn,
    KeyState: 'PendingDeletion',
    DeletionDate: new Date(NOW + 7 * DAY_MS),
    PendingWindowInDays: 7,
  });
  const message = `${arn} is pending deletion.`;
  const KeyId = keyId;
  for (const call of [
    () => encrypt(keyId),
    () => client.send(new EnableKeyCommand({ KeyId })),
    () => client.send(new DisableKeyCommand({ KeyId })),
    () => client.send(new ScheduleKeyDeletionCommand({ KeyId })),
    () => client.send(new EnableKeyRotationCommand({ KeyId })),
    () => client.send(new RotateKeyOnDemandCommand({ KeyId })),
    () => client.send(new TagResourceCommand({ KeyId, Tags: [] })),
    () => client.send(new UntagResourceCommand({ KeyId, TagKeys: [] })),
    () => client.send(new UpdateKeyDescriptionCommand({ KeyId, Description: '' })),
    () => client.send(new CreateAliasCommand({ AliasName: 'alias/too-late', TargetKeyId: keyId })),
  ]) {
    await rejectsWith(call(), 'KMSInvalidStateException', message);
  }
  await client.send(new GetKeyPolicyCommand({ KeyId }));
  await client.send(new ListResourceTagsCommand({ KeyId }));
  const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId }));
  assert.deepEqual(KeyMetadata?.DeletionDate, new Date(NOW + 7 * DAY_MS));
  assert.equal((await client.send(new CancelKeyDeletionCommand({ KeyId }))).KeyId, arn);
  const kept = await client.send(new DescribeKeyCommand({ KeyId }));
  assert.equal(kept.KeyMetadata?.KeyState, 'Disabled');
  assert.equal(kept.KeyMetadata?.DeletionDate, undefined);
  await rejectsWith(
    client.send(new CancelKeyDeletionCommand({ KeyId })),
    'KMSInvalidStateException',
    `${arn} is not pending deletion.`,
  );
});

test('a waiting period has 7 to 30 days', async () => {
  const { keyId } = await createKey();
  for (const PendingWindowInDays of [0, 6, 31, 366]) {
    await rejectsWith(
      client.send(new ScheduleKeyDeletionCommand({ KeyId: keyId, PendingWindowInDays })),
      'ValidationException',
    );
  }
});

test('tags are added, replaced, removed and listed in pages', async () => {
  const { keyId: KeyId } = await createKey();
  const tag = (Tags: { TagKey: string; TagValue: string }[]): Promise<unknown> =>
    client.send(new TagResourceCommand({ KeyId, Tags }));
  await tag([
    { TagKey: 'a', TagValue: '1' },
    { TagKey: 'b', TagValue: '2' },
    { TagKey: 'c', TagValue: '3' },
  ]);
  await tag([{ TagKey: 'b', TagValue: 'two' }]);
  await client.send(new UntagResourceCommand({ KeyId, TagKeys: ['a', 'absent'] }));
  const first = await client.send(new ListResourceTagsCommand({ KeyId, Limit: 1 }));
  assert.deepEqual(first.Tags, [{ TagKey: 'b', TagValue: 'two' }]);
  assert.equal(first.Truncated, true);
  const second = await client.send(
    new ListResourceTagsCommand({ KeyId, Limit: 1, Marker: first.NextMarker }),
  );
  assert.deepEqual(second.Tags, [{ TagKey: 'c', TagValue: '3' }]);
  assert.equal(second.Truncated, false);
  await rejectsWith(tag([{ TagKey: 'aws:x', TagValue: '' }]), 'TagException');
  await rejectsWith(
    tag([
      { TagKey: 'd', TagValue: '' },
      { TagKey: 'd', TagValue: '' },
    ]),
    'TagException',
  );
  await rejectsWith(
    tag([{ TagKey: 'x'.repeat(129), TagValue: '' }]),
    'ValidationException',
    `1 validation error detected: Value '${'x'.repeat(129)}' at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have length less than or equal to 128`,
  );
  const many = Array.from({ length: 51 }, (_, i) => ({ TagKey: `k${i}`, TagValue: '' }));
  await rejectsWith(tag(many), 'TagException');
});

test('a description is changed', async () => {
  const { keyId } = await createKey();
  await client.send(new UpdateKeyDescriptionCommand({ KeyId: keyId, Description: 'new' }));
  const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId: keyId }));
  assert.equal(KeyMetadata?.Description, 'new');
});

test('the default policy, another one, and refused ones', async () => {
  const { keyId: KeyId } = await createKey();
  const { Policy, PolicyName } = await client.send(new GetKeyPolicyCommand({ KeyId }));
  assert.equal(PolicyName, 'default');
  assert.deepEqual(JSON.parse(Policy ?? ''), {
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
  const put = (statement: object, BypassPolicyLockoutSafetyCheck = false): Promise<unknown> =>
    client.send(
      new PutKeyPolicyCommand({
        KeyId,
        PolicyName: 'default',
        Policy: JSON.stringify({ Version: '2012-10-17', Statement: [statement] }),
        BypassPolicyLockoutSafetyCheck,
      }),
    );
  const AWS = `arn:aws:iam::${ACCOUNT}:user/reader`;
  const readerOnly = { Effect: 'Allow', Principal: { AWS }, Action: 'kms:*', Resource: '*' };
  await rejectsWith(
    put(readerOnly),
    'MalformedPolicyDocumentException',
    'The new key policy will not allow you to update the key policy in the future.',
  );
  await rejectsWith(
    put({ ...readerOnly, Principal: { AWS: `arn:aws:iam::${ACCOUNT}:user/nobody-here` } }, true),
    'MalformedPolicyDocumentException',
    'Policy contains a statement with one or more invalid principals.',
  );
  await rejectsWith(
    client.send(new PutKeyPolicyCommand({ KeyId, PolicyName: 'default', Policy: '{' })),
    'MalformedPolicyDocumentException',
  );
  await rejectsWith(
    client.send(new GetKeyPolicyCommand({ KeyId, PolicyName: 'other' })),
    'NotFoundException',
    'No such policy exists',
  );
  assert.deepEqual((await client.send(new ListKeyPoliciesCommand({ KeyId }))).PolicyNames, ['default']);
  await put(readerOnly, true);
  await rejectsWith(encrypt(KeyId), 'AccessDeniedException');
  await kms.client('reader').send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
});

test('rotation settings and history', async () => {
  const { keyId: KeyId, arn } = await createKey();
  const statusOf = async (): Promise<unknown> => {
    const { $metadata: _, ...status } = await client.send(new GetKeyRotationStatusCommand({ KeyId }));
    return status;
  };
  assert.deepEqual(await statusOf(), { KeyId, KeyRotationEnabled: false });
  await client.send(new EnableKeyRotationCommand({ KeyId }));
  assert.deepEqual(await statusOf(), {
    KeyId,
    KeyRotationEnabled: true,
    RotationPeriodInDays: 365,
    NextRotationDate: new Date(NOW + 365 * DAY_MS),
  });
  await client.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 90 }));
  assert.deepEqual(await statusOf(), {
    KeyId,
    KeyRotationEnabled: true,
    RotationPeriodInDays: 90,
    NextRotationDate: new Date(NOW + 90 * DAY_MS),
  });
  await client.send(new DisableKeyRotationCommand({ KeyId }));
  assert.deepEqual(await statusOf(), { KeyId, KeyRotationEnabled: false });

  assert.equal((await client.send(new RotateKeyOnDemandCommand({ KeyId }))).KeyId, arn);
  const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId }));
  const { Rotations } = await client.send(new ListKeyRotationsCommand({ KeyId }));
  assert.deepEqual(Rotations, [
    {
      KeyId,
      KeyMaterialId: KeyMetadata?.CurrentKeyMaterialId,
      KeyMaterialState: 'CURRENT',
      RotationDate: new Date(NOW),
      RotationType: 'ON_DEMAND',
    },
  ]);
  const all = await client.send(
    new ListKeyRotationsCommand({ KeyId, IncludeKeyMaterial: 'ALL_KEY_MATERIAL' }),
  );
  assert.deepEqual(
    all.Rotations?.map(({ KeyMaterialState }) => KeyMaterialState),
    ['NON_CURRENT', 'CURRENT'],
  );
});

test('a key is rotated on demand 25 times', async () => {
  const { keyId: KeyId, arn } = await createKey();
  for (let i = 0; i < 25; i++) await client.send(new RotateKeyOnDemandCommand({ KeyId }));
  await rejectsWith(
    client.send(new RotateKeyOnDemandCommand({ KeyId })),
    'LimitExceededException',
    `The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: ${arn}`,
  );
});

test('concurrent changes of one key are all kept', async () => {
  const { keyId: KeyId } = await createKey();
  const Tags = Array.from({ length: 12 }, (_, i) => ({ TagKey: `k${i}`, TagValue: 'v' }));
  await Promise.all(Tags.map((tag) => client.send(new TagResourceCommand({ KeyId, Tags: [tag] }))));
  assert.equal((await client.send(new ListResourceTagsCommand({ KeyId }))).Tags?.length, 12);
});
