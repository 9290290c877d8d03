// Goal: what a call does in another Region, or to another account's key, is recorded there too, as AWS documents it. Method: SDK clients, and
// every account's records.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import { type AuditRecord, recordsOf } from '../testing/audit-records.js';
import { ACCOUNT, OTHER_ACCOUNT, REGION, startTestService } from '../testing/harness.js';

const REPLICA_REGION = 'us-west-2';
const NOW = Date.UTC(2026, 4, 21, 5, 47, 45);
const POLICY = JSON.stringify({
  Version: '2012-10-17',
  Statement: [
    { Effect: 'Allow', Principal: { AWS: [ACCOUNT, OTHER_ACCOUNT] }, Action: 'kms:*', Resource: '*' },
  ],
});

test('what happens in another Region is recorded there', async (t) => {
  const kms = await startTestService({ now: () => NOW });
  t.after(() => kms.close());
  const client = kms.client();
  const made = await client.send(new sdk.CreateKeyCommand({ MultiRegion: true }));
  const { KeyId = '', Arn = '' } = made.KeyMetadata ?? {};
  const replicaArn = Arn.replace(REGION, REPLICA_REGION);
  const replicated = await client.send(
    new sdk.ReplicateKeyCommand({ KeyId, ReplicaRegion: REPLICA_REGION, Description: 'replica' }),
  );
  assert.equal(replicated.ReplicaKeyMetadata?.KeyState, 'Creating');
  await client.send(new sdk.RotateKeyOnDemandCommand({ KeyId }));
  await client.send(new sdk.UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: REPLICA_REGION }));

  const records = await recordsOf(kms, ACCOUNT);
  const inRegion = (region: string): AuditRecord[] => records.filter(({ awsRegion }) => awsRegion === region);
  const [create, replicate, synchronized, ...others] = inRegion(REGION) as [
    AuditRecord,
    AuditRecord,
    AuditRecord,
  ];
  assert.equal(create.eventName, 'CreateKey');
  assert.deepEqual(
    others.map(({ eventName }: AuditRecord) => eventName),
    ['RotateKeyOnDemand', 'RotateKey', 'SynchronizeMultiRegionKey', 'UpdatePrimaryRegion'],
  );
  const { replicaKeyMetadata, replicaPolicy } = replicate['responseElements'] as Record<string, unknown>;
  const { arn, keyState, enabled, multiRegionConfiguration } = replicaKeyMetadata as Record<string, unknown>;
  assert.deepEqual({ arn, keyState, enabled }, { arn: replicaArn, keyState: 'Creating', enabled: false });
  assert.deepEqual(multiRegionConfiguration, {
    multiRegionKeyType: 'REPLICA',
    primaryKey: { arn: Arn, region: REGION },
    replicaKeys: [{ arn: replicaArn, region: REPLICA_REGION }],
  });
  assert.equal(typeof replicaPolicy, 'string');
  assert.deepEqual(replicate['requestParameters'], {
    keyId: KeyId,
    replicaRegion: REPLICA_REGION,
    bypassPolicyLockoutSafetyCheck: false,
    description: 'replica',
  });
  const resource = (ARN: string) => [{ accountId: ACCOUNT, type: 'AWS::KMS::Key', ARN }];
  assert.deepEqual(replicate['resources'], resource(Arn));
  const { eventID, eventTime, requestID, waxsealChain, ...synchronization } = synchronized as Record<
    string,
    unknown
  >;
  assert.ok(eventID !== undefined && requestID !== undefined && waxsealChain !== undefined);
  assert.equal(eventTime, '2026-05-21T05:47:45Z');
  assert.deepEqual(synchronization, {
    eventVersion: '1.11',
    userIdentity: { accountId: ACCOUNT, invokedBy: 'AWS Internal' },
    eventSource: 'kms.amazonaws.com',
    eventName: 'SynchronizeMultiRegionKey',
    awsRegion: REGION,
    sourceIPAddress: 'AWS Internal',
    userAgent: 'AWS Internal',
    requestParameters: null,
    responseElements: { keyId: Arn },
    readOnly: false,
    resources: resource(Arn),
    eventType: 'AwsApiCall',
    managementEvent: true,
    recipientAccountId: ACCOUNT,
    eventCategory: 'Management',
  });

  const [creation, update, ...none] = inRegion(REPLICA_REGION) as [AuditRecord, AuditRecord];
  assert.deepEqual(none, []);
  assert.equal(creation.eventName, 'CreateKey');
  assert.equal(creation.requestID, replicate.requestID);
  assert.notEqual(creation['eventID'], replicate['eventID']);
  assert.equal((creation['userIdentity'] as { invokedBy: string }).invokedBy, 'kms.amazonaws.com');
  assert.deepEqual(creation['responseElements'], { keyMetadata: replicaKeyMetadata });
  assert.deepEqual(creation['resources'], resource(replicaArn));
  assert.deepEqual(update['requestParameters'], { keyId: replicaArn, primaryRegion: REPLICA_REGION });
  assert.deepEqual(update['resources'], []);
  assert.equal(update.requestID, inRegion(REGION).at(-1)?.requestID);
});

test('the owner of a key is told of calls from other accounts, not of those that were refused', async (t) => {
  const kms = await startTestService();
  t.after(() => kms.close());
  const made = await kms.client().send(new sdk.CreateKeyCommand({ Policy: POLICY }));
  const KeyId = made.KeyMetadata?.Arn ?? '';
  const foreigner = kms.client('foreigner');
  const Plaintext = randomBytes(9);
  await foreigner.send(new sdk.EncryptCommand({ KeyId, Plaintext }));
  const closed = await kms.client().send(new sdk.CreateKeyCommand({}));
  await assert.rejects(
    foreigner.send(new sdk.EncryptCommand({ KeyId: closed.KeyMetadata?.Arn, Plaintext })),
    { name: 'AccessDeniedException' },
  );

  const [own, refused] = (await recordsOf(kms, OTHER_ACCOUNT)) as [AuditRecord, AuditRecord];
  const seen = (await recordsOf(kms, ACCOUNT)).filter(({ eventName }) => eventName === 'Encrypt');
  assert.deepEqual([own.eventName, own.errorCode, refused.errorCode], ['Encrypt', undefined, 'AccessDenied']);
  assert.equal(seen.length, 1);
  const [copy] = seen as [AuditRecord];
  const { userName, principalId } = own['userIdentity'] as Record<string, string>;
  assert.equal(userName, 'foreigner');
  assert.deepEqual(copy['userIdentity'], { type: 'AWSAccount', principalId, accountId: OTHER_ACCOUNT });
  assert.equal(copy.requestID, own.requestID);
  assert.match(String(own['sharedEventID']), /^[0-9a-f-]{36}$/);
  assert.equal(copy['sharedEventID'], own['sharedEventID']);
  assert.notEqual(copy['eventID'], own['eventID']);
  assert.deepEqual([own['recipientAccountId'], copy['recipientAccountId']], [OTHER_ACCOUNT, ACCOUNT]);
});
