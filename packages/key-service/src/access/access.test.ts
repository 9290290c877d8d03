// Goal: who may do what, end to end: the sentences AWS refuses with, across users and accounts.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DescribeKeyCommand,
  EncryptCommand,
  PutKeyPolicyCommand,
  ReEncryptCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import {
  ACCOUNT,
  OTHER_ACCOUNT,
  REGION,
  startTestService,
  type TestService,
  type UserName,
} from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

let kms: TestService;
let keyId: string;
let arn: string;
const Plaintext = Buffer.from('x');

before(async () => {
  kms = await startTestService();
  const { KeyMetadata } = await kms.client().send(new CreateKeyCommand({}));
  keyId = KeyMetadata?.KeyId ?? '';
  arn = KeyMetadata?.Arn ?? '';
});
after(() => kms.close());

const encryptAs = (user: UserName, KeyId = arn): Promise<{ CiphertextBlob?: Uint8Array | undefined }> =>
  kms.client(user).send(new EncryptCommand({ KeyId, Plaintext }));

const refusal = (user: string, action: string, resource: string, because: string): string =>
  `User: arn:aws:iam::${user} is not authorized to perform: kms:${action} on resource: ${resource} ${because}`;

const ABSENT_OR_FOREIGN = `User: arn:aws:iam::${OTHER_ACCOUNT}:user/foreigner is not authorized to perform: kms:Encrypt on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access`;

test('the identity policy decides under the default key policy', async () => {
  await kms.client('reader').send(new DescribeKeyCommand({ KeyId: keyId }));
  await rejectsWith(
    encryptAs('reader'),
    'AccessDeniedException',
    refusal(
      `${ACCOUNT}:user/reader`,
      'Encrypt',
      arn,
      'because no identity-based policy allows the kms:Encrypt action',
    ),
  );
});

test('an explicit deny wins', () =>
  rejectsWith(
    encryptAs('denied'),
    'AccessDeniedException',
    refusal(`${ACCOUNT}:user/denied`, 'Encrypt', arn, 'with an explicit deny in an identity-based policy'),
  ));

test('a condition that holds allows', async () => {
  assert.ok((await encryptAs('conditional')).CiphertextBlob);
});

test('another account sees nothing until both sides allow', async () => {
  await rejectsWith(encryptAs('foreigner'), 'AccessDeniedException', ABSENT_OR_FOREIGN);
  const absent = arn.replace(keyId, '00000000-0000-4000-8000-000000000000');
  await rejectsWith(encryptAs('foreigner', absent), 'AccessDeniedException', ABSENT_OR_FOREIGN);

  const own = { AWS: `arn:aws:iam::${ACCOUNT}:root` };
  const Policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Principal: own, Action: 'kms:*', Resource: '*' },
      { Effect: 'Allow', Principal: { AWS: OTHER_ACCOUNT }, Action: 'kms:*', Resource: '*' },
    ],
  });
  const { KeyMetadata } = await kms.client().send(new CreateKeyCommand({ Policy }));
  const shared = KeyMetadata?.Arn ?? '';
  const { CiphertextBlob } = await encryptAs('foreigner', shared);
  assert.ok(CiphertextBlob);
  // What changes a key is for its own account only.
  await rejectsWith(
    kms.client('foreigner').send(new ScheduleKeyDeletionCommand({ KeyId: shared })),
    'AccessDeniedException',
  );
});

test('whether a key exists is told only to who may use it', async () => {
  const absent = '00000000-0000-4000-8000-000000000000';
  await rejectsWith(
    encryptAs('admin', absent),
    'NotFoundException',
    `Key 'arn:aws:kms:${REGION}:${ACCOUNT}:key/${absent}' does not exist`,
  );
  await rejectsWith(encryptAs('nobody', absent), 'AccessDeniedException');
});

test('ReEncrypt needs permission on both keys', async () => {
  const { KeyMetadata } = await kms.client().send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.KeyId ?? '';
  const { CiphertextBlob } = await encryptAs('admin');
  const Policy = JSON.stringify({
    Statement: [
      { Effect: 'Allow', Principal: { AWS: ACCOUNT }, Action: 'kms:*', Resource: '*' },
      { Effect: 'Deny', Principal: '*', Action: 'kms:ReEncryptTo', Resource: '*' },
    ],
  });
  await kms.client().send(new PutKeyPolicyCommand({ KeyId, Policy }));
  await rejectsWith(
    kms.client().send(new ReEncryptCommand({ CiphertextBlob, DestinationKeyId: KeyId })),
    'AccessDeniedException',
    refusal(
      `${ACCOUNT}:user/admin`,
      'ReEncryptTo',
      KeyMetadata?.Arn ?? '',
      'with an explicit deny in a resource-based policy',
    ),
  );
});

test('an alias needs permission on its name and on its key', async () => {
  const AliasName = 'alias/access';
  await rejectsWith(
    kms.client('reader').send(new CreateAliasCommand({ AliasName, TargetKeyId: keyId })),
    'AccessDeniedException',
    refusal(
      `${ACCOUNT}:user/reader`,
      'CreateAlias',
      `arn:aws:kms:${REGION}:${ACCOUNT}:${AliasName}`,
      'because no identity-based policy allows the kms:CreateAlias action',
    ),
  );
});

test('conditions on the encryption context, the alias and the algorithm decide calls', async () => {
  const { KeyMetadata } = await kms.client().send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.KeyId ?? '';
  const AliasName = 'alias/conditions';
  await kms.client().send(new CreateAliasCommand({ AliasName, TargetKeyId: KeyId }));
  const statement = (Effect: string, user: string, Condition?: object): object => ({
    Effect,
    Principal: { AWS: `arn:aws:iam::${ACCOUNT}:user/${user}` },
    Action: ['kms:Encrypt', 'kms:PutKeyPolicy'],
    Resource: '*',
    ...(Condition && { Condition }),
  });
  const Policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      statement('Allow', 'admin'),
      statement('Allow', 'nobody', {
        StringEquals: { 'kms:EncryptionContext:App': 'shop', 'kms:EncryptionAlgorithm': 'SYMMETRIC_DEFAULT' },
        'ForAllValues:StringEquals': { 'kms:EncryptionContextKeys': ['app', 'stage'] },
      }),
      statement('Allow', 'reader', { StringEquals: { 'kms:RequestAlias': AliasName } }),
    ],
  });
  await kms.client().send(new PutKeyPolicyCommand({ KeyId, Policy }));
  const encrypt = (user: UserName, id: string, EncryptionContext?: Record<string, string>) =>
    kms
      .client(user)
      .send(new EncryptCommand({ KeyId: id, Plaintext, ...(EncryptionContext && { EncryptionContext }) }));
  await encrypt('nobody', KeyId, { app: 'shop' });
  await encrypt('nobody', KeyId, { app: 'shop', stage: 'prod' });
  for (const context of [undefined, { app: 'other' }, { app: 'shop', more: 'x' }, { stage: 'shop' }]) {
    await rejectsWith(encrypt('nobody', KeyId, context), 'AccessDeniedException');
  }
  await encrypt('reader', AliasName);
  await rejectsWith(encrypt('reader', KeyId), 'AccessDeniedException');
});

test('a key policy that is none is refused', async () => {
  const { KeyMetadata } = await kms.client().send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.KeyId ?? '';
  const put = (statement: object): Promise<unknown> => {
    const own = { AWS: `arn:aws:iam::${ACCOUNT}:root` };
    const Statement = { Effect: 'Allow', Principal: own, Action: 'kms:*', Resource: '*', ...statement };
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
    return kms.client().send(new PutKeyPolicyCommand({ KeyId, Policy }));
  };
  await put({});
  const malformed: readonly object[] = [
    { Condition: { StringEqualz: { 'kms:KeySpec': 'x' } } },
    { Condition: { Bool: { 'aws:SecureTransport': 'perhaps' } } },
    { Principal: { AWS: `arn:aws:iam::${ACCOUNT}:user/absent` } },
    { Principal: { AWS: `arn:aws:iam::${ACCOUNT}:role/absent` } },
    { Action: 'Encrypt' },
    // Nobody could change it again: the caller's address is another.
    { Condition: { IpAddress: { 'aws:SourceIp': '192.0.2.1' } } },
  ];
  for (const statement of malformed) await rejectsWith(put(statement), 'MalformedPolicyDocumentException');
  await rejectsWith(put({ Sid: 'x'.repeat(33_000) }), 'LimitExceededException');
});
