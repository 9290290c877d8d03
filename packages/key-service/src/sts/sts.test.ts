// Goal: temporary credentials with the real STS client: roles, session policies, sessions of users, expiry, restarts.
import assert from 'node:assert/strict';
import { Agent } from 'node:https';
import { after, before, test } from 'node:test';
import {
  CreateKeyCommand,
  EncryptCommand,
  KMSClient,
  ListKeysCommand,
  PutKeyPolicyCommand,
} from '@aws-sdk/client-kms';
import {
  AssumeRoleCommand,
  type AssumeRoleCommandInput,
  type Credentials,
  GetCallerIdentityCommand,
  GetSessionTokenCommand,
  STSClient,
} from '@aws-sdk/client-sts';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import {
  ACCOUNT,
  OTHER_ACCOUNT,
  REGION,
  SECRET,
  startTestService,
  type TestService,
  type UserName,
} from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

const DEPLOYER = `arn:aws:iam::${ACCOUNT}:role/service-role/deployer`;
const GUEST = `arn:aws:iam::${ACCOUNT}:role/guest`;

let kms: TestService;
let nowMs = Date.now();
let keyArn: string;

before(async () => {
  kms = await startTestService({ now: () => nowMs });
  const { KeyMetadata } = await kms.client().send(new CreateKeyCommand({}));
  keyArn = KeyMetadata?.Arn ?? '';
});
after(() => kms.close());

const clientConfig = (credentials: {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}) => ({
  region: REGION,
  endpoint: kms.service.endpoint,
  credentials,
  maxAttempts: 1,
  requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: kms.ca }) }),
});
const longTerm = (name: UserName) => ({ accessKeyId: name, secretAccessKey: SECRET });
const temporary = (credentials: Credentials | undefined) => ({
  accessKeyId: credentials?.AccessKeyId ?? '',
  secretAccessKey: credentials?.SecretAccessKey ?? '',
  sessionToken: credentials?.SessionToken ?? '',
});

/** Clients sign with the service's clock, which tests move. */
function onTime<T extends { readonly config: object; destroy(): void }>(client: T): T {
  Object.assign(client.config, { systemClockOffset: nowMs - Date.now() });
  return client;
}
const stsAs = (credentials: Parameters<typeof clientConfig>[0]): STSClient =>
  onTime(new STSClient(clientConfig(credentials)));
const kmsAs = (credentials: Parameters<typeof clientConfig>[0]): KMSClient =>
  onTime(new KMSClient(clientConfig(credentials)));

const assume = (by: UserName, input: Partial<AssumeRoleCommandInput> = {}) =>
  stsAs(longTerm(by)).send(new AssumeRoleCommand({ RoleArn: DEPLOYER, RoleSessionName: 'ci', ...input }));
const encryptAs = (credentials: Credentials | undefined, KeyId = keyArn) =>
  kmsAs(temporary(credentials)).send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));

/** The token with one bit of its first byte changed. */
function flipped(token: string): string {
  const bytes = Buffer.from(token, 'base64');
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  return bytes.toString('base64');
}

test('a role is assumed by whom its trust policy names, and acts with its policies', async () => {
  const { Credentials: credentials, AssumedRoleUser } = await assume('nobody');
  assert.match(credentials?.AccessKeyId ?? '', /^ASIA[A-Z2-7]{16}$/);
  assert.equal(credentials?.Expiration?.getTime(), Math.floor(nowMs / 1000) * 1000 + 3_600_000);
  const arn = `arn:aws:sts::${ACCOUNT}:assumed-role/deployer/ci`;
  assert.equal(AssumedRoleUser?.Arn, arn);
  assert.match(AssumedRoleUser?.AssumedRoleId ?? '', /^AROA\w{17}:ci$/);
  const identity = await stsAs(temporary(credentials)).send(new GetCallerIdentityCommand({}));
  assert.equal(identity.Arn, arn);
  assert.equal(identity.UserId, AssumedRoleUser?.AssumedRoleId);
  await encryptAs(credentials);

  await rejectsWith(
    assume('reader'),
    'AccessDenied',
    `User: arn:aws:iam::${ACCOUNT}:user/reader is not authorized to perform: sts:AssumeRole on resource: ${DEPLOYER}`,
  );
  await rejectsWith(assume('nobody', { RoleArn: `${DEPLOYER}x` }), 'AccessDenied');
});

test('across accounts trust and identity policy must agree, and conditions hold', async () => {
  await rejectsWith(assume('foreigner', { RoleArn: GUEST }), 'AccessDenied');
  await rejectsWith(assume('foreigner', { RoleArn: GUEST, ExternalId: 'another' }), 'AccessDenied');
  const { Credentials: guest } = await assume('foreigner', { RoleArn: GUEST, ExternalId: 'only-with-this' });
  await rejectsWith(
    encryptAs(guest),
    'AccessDeniedException',
    `User: arn:aws:sts::${ACCOUNT}:assumed-role/guest/ci is not authorized to perform: kms:Encrypt on resource: ${keyArn} because no identity-based policy allows the kms:Encrypt action`,
  );
});

test('a session policy limits the role', async () => {
  const Policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: { Effect: 'Allow', Action: 'kms:List*', Resource: '*' },
  });
  const { Credentials: limited } = await assume('nobody', { Policy });
  await kmsAs(temporary(limited)).send(new ListKeysCommand({}));
  await rejectsWith(
    encryptAs(limited),
    'AccessDeniedException',
    `User: arn:aws:sts::${ACCOUNT}:assumed-role/deployer/ci is not authorized to perform: kms:Encrypt on resource: ${keyArn} because no session policy allows the kms:Encrypt action`,
  );
  const PolicyArns = [{ arn: 'arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser' }];
  const { Credentials: powerUser } = await assume('nobody', { PolicyArns });
  await rejectsWith(encryptAs(powerUser), 'AccessDeniedException');
  await rejectsWith(assume('nobody', { Policy: '{' }), 'MalformedPolicyDocumentException');
});

test('key policies name roles and sessions', async () => {
  const allow = (AWS: string): object => ({
    Effect: 'Allow',
    Principal: { AWS },
    Action: 'kms:*',
    Resource: '*',
  });
  const keyFor = async (AWS: string): Promise<string> => {
    const { KeyMetadata } = await kms.client().send(new CreateKeyCommand({}));
    const KeyId = KeyMetadata?.KeyId ?? '';
    const Statement = [allow(`arn:aws:iam::${ACCOUNT}:user/admin`), allow(AWS)];
    await kms.client().send(new PutKeyPolicyCommand({ KeyId, Policy: JSON.stringify({ Statement }) }));
    return KeyMetadata?.Arn ?? '';
  };
  const { Credentials: ci } = await assume('nobody');
  const { Credentials: other } = await assume('nobody', { RoleSessionName: 'other' });
  const ofRole = await keyFor(DEPLOYER);
  await encryptAs(ci, ofRole);
  await encryptAs(other, ofRole);
  const ofSession = await keyFor(`arn:aws:sts::${ACCOUNT}:assumed-role/deployer/ci`);
  await encryptAs(ci, ofSession);
  await rejectsWith(encryptAs(other, ofSession), 'AccessDeniedException');
  await rejectsWith(keyFor(`${DEPLOYER}x`), 'MalformedPolicyDocumentException');
});

test('GetSessionToken: the same user, for a time', async () => {
  const { Credentials: session } = await stsAs(longTerm('admin')).send(
    new GetSessionTokenCommand({ DurationSeconds: 900 }),
  );
  const identity = await stsAs(temporary(session)).send(new GetCallerIdentityCommand({}));
  assert.equal(identity.Arn, `arn:aws:iam::${ACCOUNT}:user/admin`);
  await encryptAs(session);
  await rejectsWith(
    stsAs(temporary(session)).send(new GetSessionTokenCommand({})),
    'AccessDenied',
    'Cannot call GetSessionToken with session credentials',
  );
  nowMs += 901_000;
  await rejectsWith(
    encryptAs(session),
    'ExpiredTokenException',
    'The security token included in the request is expired',
  );
  await rejectsWith(stsAs(temporary(session)).send(new GetCallerIdentityCommand({})), 'ExpiredToken');
});

test('sessions survive a restart; tokens that were changed or go with another key are refused', async () => {
  const { Credentials: credentials } = await assume('nobody');
  const { Credentials: other } = await assume('nobody');
  await kms.restart();
  await encryptAs(credentials);
  const refused: readonly Partial<Credentials>[] = [
    { SessionToken: '' },
    { SessionToken: flipped(credentials?.SessionToken ?? '') },
    { SessionToken: other?.SessionToken ?? '' },
    { SessionToken: 'not base64!' },
  ];
  for (const change of refused) {
    const changed = { ...credentials, ...change } as Credentials;
    await rejectsWith(encryptAs(changed), 'UnrecognizedClientException');
  }
  await rejectsWith(
    encryptAs({ ...credentials, SecretAccessKey: other?.SecretAccessKey } as Credentials),
    'InvalidSignatureException',
  );
});

test('requests that break a constraint', async () => {
  await rejectsWith(
    assume('nobody', { RoleSessionName: 'x' }),
    'ValidationError',
    "1 validation error detected: Value 'x' at 'roleSessionName' failed to satisfy constraint: Member must have length greater than or equal to 2",
  );
  await rejectsWith(assume('nobody', { RoleSessionName: 'a b' }), 'ValidationError');
  await rejectsWith(assume('nobody', { DurationSeconds: 899 }), 'ValidationError');
  await rejectsWith(
    assume('nobody', { DurationSeconds: 3601 }),
    'ValidationError',
    'The requested DurationSeconds exceeds the MaxSessionDuration set for this role.',
  );
  await rejectsWith(assume('nobody', { RoleArn: 'arn:short' }), 'ValidationError');
  await rejectsWith(
    assume('nobody', { Tags: [{ Key: 'a', Value: '1' }] }),
    'AccessDenied',
    `User: arn:aws:iam::${ACCOUNT}:user/nobody is not authorized to perform: sts:TagSession on resource: ${DEPLOYER}`,
  );
});

test('the other account', async () => {
  const identity = await stsAs(longTerm('foreigner')).send(new GetCallerIdentityCommand({}));
  assert.equal(identity.Account, OTHER_ACCOUNT);
});
