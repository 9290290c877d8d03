// Goal: sessions leave the records CloudTrail documents: who asked for them, what was issued, and who uses them.
import assert from 'node:assert/strict';
import { Agent } from 'node:https';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import {
  AssumeRoleCommand,
  type Credentials,
  GetCallerIdentityCommand,
  GetSessionTokenCommand,
  STSClient,
} from '@aws-sdk/client-sts';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { type AuditRecord, recordsOf } from '../testing/audit-records.js';
import { ACCOUNT, OTHER_ACCOUNT, REGION, SECRET, startTestService } from '../testing/harness.js';
import { rawCall } from '../testing/raw-call.js';
import { userIdentity } from './user-identity.js';

const NOW = Date.UTC(2026, 4, 21, 5, 47, 45);
const ROLE = `arn:aws:iam::${ACCOUNT}:role/service-role/deployer`;
const GUEST = `arn:aws:iam::${ACCOUNT}:role/guest`;

test('sessions and their calls are recorded', async (t) => {
  const kms = await startTestService({ now: () => NOW });
  t.after(() => kms.close());
  const config = (accessKeyId: string, secretAccessKey: string, sessionToken?: string) => ({
    region: REGION,
    endpoint: kms.service.endpoint,
    maxAttempts: 1,
    systemClockOffset: NOW - Date.now(),
    credentials: {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
    },
    requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: kms.ca }) }),
  });
  const sts = (user: string): STSClient => new STSClient(config(user, SECRET));
  const listKeys = async (credentials: Credentials | undefined): Promise<void> => {
    const { AccessKeyId = '', SecretAccessKey = '', SessionToken } = credentials ?? {};
    await new sdk.KMSClient(config(AccessKeyId, SecretAccessKey, SessionToken)).send(
      new sdk.ListKeysCommand({}),
    );
  };
  const assumed = await sts('nobody').send(
    new AssumeRoleCommand({ RoleArn: ROLE, RoleSessionName: 'ci', DurationSeconds: 900 }),
  );
  await listKeys(assumed.Credentials);
  const own = await sts('admin').send(new GetSessionTokenCommand({}));
  await listKeys(own.Credentials);
  await sts('admin').send(new GetCallerIdentityCommand({}));
  await sts('foreigner').send(
    new AssumeRoleCommand({ RoleArn: GUEST, RoleSessionName: 'guest', ExternalId: 'only-with-this' }),
  );
  await rawCall(kms, { body: '{}', signed: false });

  const records = await recordsOf(kms, ACCOUNT);
  const [assume, byRole, session, byUser, who, guest] = records as [
    AuditRecord,
    AuditRecord,
    AuditRecord,
    AuditRecord,
    AuditRecord,
    AuditRecord,
  ];
  const user = (name: string): Record<string, unknown> => {
    const { principalId } = (name === 'admin' ? session : assume)['userIdentity'] as Record<string, unknown>;
    return {
      type: 'IAMUser',
      principalId,
      arn: `arn:aws:iam::${ACCOUNT}:user/${name}`,
      accountId: ACCOUNT,
      userName: name,
    };
  };
  assert.deepEqual(assume['userIdentity'], { ...user('nobody'), accessKeyId: 'nobody' });
  assert.deepEqual(assume['requestParameters'], {
    roleArn: ROLE,
    roleSessionName: 'ci',
    durationSeconds: 900,
  });
  assert.deepEqual(assume['responseElements'], {
    credentials: {
      accessKeyId: assumed.Credentials?.AccessKeyId,
      expiration: 'May 21, 2026, 6:02:45 AM',
    },
    assumedRoleUser: {
      assumedRoleId: assumed.AssumedRoleUser?.AssumedRoleId,
      arn: assumed.AssumedRoleUser?.Arn,
    },
  });
  assert.deepEqual(assume['resources'], [{ accountId: ACCOUNT, type: 'AWS::IAM::Role', ARN: ROLE }]);
  assert.equal(assume['readOnly'], true);

  const attributes = { creationDate: '2026-05-21T05:47:45Z', mfaAuthenticated: 'false' };
  const roleId = assumed.AssumedRoleUser?.AssumedRoleId?.split(':')[0];
  assert.deepEqual(byRole['userIdentity'], {
    type: 'AssumedRole',
    principalId: `${roleId}:ci`,
    arn: `arn:aws:sts::${ACCOUNT}:assumed-role/deployer/ci`,
    accountId: ACCOUNT,
    accessKeyId: assumed.Credentials?.AccessKeyId,
    sessionContext: {
      sessionIssuer: {
        type: 'Role',
        principalId: roleId,
        arn: ROLE,
        accountId: ACCOUNT,
        userName: 'deployer',
      },
      attributes,
    },
  });
  assert.deepEqual(byUser['userIdentity'], {
    ...user('admin'),
    accessKeyId: own.Credentials?.AccessKeyId,
    sessionContext: { attributes },
  });
  assert.equal(session.eventName, 'GetSessionToken');
  assert.deepEqual(
    [who.eventName, who['requestParameters'], who['responseElements']],
    ['GetCallerIdentity', null, null],
  );

  // The account of the role is told of sessions of others.
  const [theirs] = (await recordsOf(kms, OTHER_ACCOUNT)) as [AuditRecord];
  assert.equal(theirs['sharedEventID'], guest['sharedEventID']);
  const { principalId } = theirs['userIdentity'] as Record<string, unknown>;
  assert.deepEqual(guest['userIdentity'], { type: 'AWSAccount', principalId, accountId: OTHER_ACCOUNT });

  const [unknown] = await recordsOf(kms, '000000000000');
  assert.deepEqual(unknown?.['userIdentity'], { type: 'Unknown' });
});

test('a root user is named as such', () => {
  const principal = {
    kind: 'root',
    accountId: ACCOUNT,
    arn: `arn:aws:iam::${ACCOUNT}:root`,
    principalId: ACCOUNT,
    policies: [],
  } as const;
  assert.deepEqual(userIdentity({ id: 'AKIA', secret: 'x', principal }), {
    type: 'Root',
    principalId: ACCOUNT,
    arn: `arn:aws:iam::${ACCOUNT}:root`,
    accountId: ACCOUNT,
    accessKeyId: 'AKIA',
  });
});
