// Goal: STS answers and refuses as AWS STS was recorded. Method: the same parameters, by the real client.
import assert from 'node:assert/strict';
import { Agent } from 'node:https';
import { after, before, test } from 'node:test';
import {
  AssumeRoleCommand,
  type AssumeRoleCommandInput,
  type Credentials,
  GetCallerIdentityCommand,
  STSClient,
} from '@aws-sdk/client-sts';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { ACCOUNT, REGION, SECRET, startTestService, type TestService } from './testing/harness.js';
import { rejectsWith } from './testing/rejects.js';

const TAGGER = `arn:aws:iam::${ACCOUNT}:role/tagger`;

let kms: TestService;
before(async () => {
  kms = await startTestService();
});
after(() => kms.close());

function sts(credentials?: Credentials): STSClient {
  return new STSClient({
    region: REGION,
    endpoint: kms.service.endpoint,
    credentials:
      credentials === undefined
        ? { accessKeyId: 'admin', secretAccessKey: SECRET }
        : {
            accessKeyId: credentials.AccessKeyId ?? '',
            secretAccessKey: credentials.SecretAccessKey ?? '',
            sessionToken: credentials.SessionToken ?? '',
          },
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: kms.ca }) }),
  });
}

const assume = (input: Partial<AssumeRoleCommandInput>, as?: Credentials) =>
  sts(as).send(new AssumeRoleCommand({ RoleArn: TAGGER, RoleSessionName: 'Session1', ...input }));

test('AssumeRole and GetCallerIdentity', async () => {
  const { $metadata: _, AssumedRoleUser, Credentials: credentials, ...rest } = await assume({});
  assert.deepEqual(rest, {});
  const arn = `arn:aws:sts::${ACCOUNT}:assumed-role/tagger/Session1`;
  assert.equal(AssumedRoleUser?.Arn, arn);
  assert.match(AssumedRoleUser?.AssumedRoleId ?? '', /^AROA\w{17}:Session1$/);
  assert.deepEqual(Object.keys(credentials ?? {}).toSorted(), [
    'AccessKeyId',
    'Expiration',
    'SecretAccessKey',
    'SessionToken',
  ]);
  const { $metadata: __, ...identity } = await sts(credentials).send(new GetCallerIdentityCommand({}));
  assert.deepEqual(identity, { Account: ACCOUNT, Arn: arn, UserId: AssumedRoleUser?.AssumedRoleId });
});

test('ARNs that are none', async () => {
  for (const RoleArn of [
    'nothing-valid-in-here',
    'arn::b:::something/test-role',
    'arn:a::::something/test-role',
    'arn:a:::something/test-role',
    'arn:a:a::aaaaaaaaaa:',
  ]) {
    await rejectsWith(assume({ RoleArn }), 'ValidationError', `${RoleArn} is invalid`);
  }
});

test('names of sessions', async () => {
  const broken = (name: string, rule: string): string =>
    `1 validation error detected: Value '${name}' at 'roleSessionName' failed to satisfy constraint: ${rule}`;
  for (const [RoleSessionName, rule] of [
    ['Session1:2', 'Member must satisfy regular expression pattern: [\\w+=,.@-]*'],
    ['s'.repeat(65), 'Member must have length less than or equal to 64'],
  ] as const) {
    await rejectsWith(assume({ RoleSessionName }), 'ValidationError', broken(RoleSessionName, rule));
  }
});

const tag = (Key: string, Value = 'SessionValue1') => ({ Key, Value });

test('session tags', async () => {
  await rejectsWith(
    assume({ Tags: [tag('SessionTag1')], TransitiveTagKeys: ['InvalidKey'] }),
    'InvalidParameterValue',
    'The specified transitive tag key must be included in the requested tags.',
  );
  await rejectsWith(
    assume({ Tags: [tag('SessionTag1'), tag('sessiontag1')] }),
    'InvalidParameterValue',
    'Duplicate tag keys found. Please note that Tag keys are case insensitive.',
  );
});

test('transitive tags go on to the next role, and are not overridden', async () => {
  const { Credentials: first } = await assume({
    Tags: [tag('SessionTag1'), tag('SessionTag2')],
    TransitiveTagKeys: ['SessionTag1'],
  });
  for (const key of ['SessionTag1', 'sessiontag1']) {
    await rejectsWith(
      assume({ Tags: [tag(key, 'SessionValue2')] }, first),
      'InvalidParameterValue',
      "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
    );
  }
  const { Credentials: second } = await assume({ Tags: [tag('SessionTag2', 'own')] }, first);
  // Of the third session it is still the first's tag.
  await rejectsWith(assume({ Tags: [tag('SESSIONTAG1')] }, second), 'InvalidParameterValue');
  await assume({ Tags: [tag('SessionTag2')] }, second);
});
