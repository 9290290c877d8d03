// Goal: one CloudTrail record for every call, allowed or denied, with what CloudTrail says and without what it must not say.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CreateGrantCommand,
  CreateKeyCommand,
  EncryptCommand,
  ListKeysCommand,
  TagResourceCommand,
} from '@aws-sdk/client-kms';
import { type AuditRecord, recordsOf } from '../testing/audit-records.js';
import { ACCOUNT, REGION, startTestService } from '../testing/harness.js';
import { rawCall } from '../testing/raw-call.js';

test('calls leave records', async (t) => {
  const kms = await startTestService();
  t.after(() => kms.close());
  const client = kms.client();
  const host = new URL(kms.service.endpoint).host;
  const created = await client.send(new CreateKeyCommand({ Description: 'audited' }));
  const KeyId = created.KeyMetadata?.KeyId ?? '';
  const arn = created.KeyMetadata?.Arn ?? '';
  const granted = await client.send(
    new CreateGrantCommand({
      KeyId,
      GranteePrincipal: `arn:aws:iam::${ACCOUNT}:user/nobody`,
      Operations: ['Encrypt'],
    }),
  );
  const encrypted = await client.send(
    new EncryptCommand({
      KeyId,
      Plaintext: Buffer.from('x'),
      EncryptionContext: { App: 'A' },
      GrantTokens: [granted.GrantToken ?? ''],
    }),
  );
  await client.send(new TagResourceCommand({ KeyId, Tags: [{ TagKey: 'K', TagValue: 'V' }] }));
  await kms
    .client('nobody')
    .send(new ListKeysCommand({}))
    .catch(() => undefined);
  await rawCall(kms, { body: '{}', signed: false });

  const records = await recordsOf(kms, ACCOUNT);
  assert.deepEqual(
    records.map(({ eventName }) => eventName),
    ['CreateKey', 'CreateGrant', 'Encrypt', 'TagResource', 'ListKeys'],
  );
  const [create, grant, encrypt, tag, denied] = records as [
    AuditRecord,
    AuditRecord,
    AuditRecord,
    AuditRecord,
    AuditRecord,
  ];
  assert.deepEqual(grant['responseElements'], { grantId: granted.GrantId, keyId: arn });

  const { eventTime, eventID, userAgent, tlsDetails, additionalEventData, waxsealChain, ...rest } = encrypt;
  assert.match(String(eventTime), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.match(String(eventID), /^[0-9a-f-]{36}$/);
  assert.match(String(userAgent), /aws-sdk-js/);
  assert.deepEqual(tlsDetails, {
    tlsVersion: 'TLSv1.3',
    cipherSuite: 'TLS_AES_256_GCM_SHA384',
    clientProvidedHostHeader: host,
  });
  assert.deepEqual(additionalEventData, { keyMaterialId: created.KeyMetadata?.CurrentKeyMaterialId });
  assert.ok(waxsealChain);
  assert.deepEqual(rest, {
    eventVersion: '1.11',
    userIdentity: {
      type: 'IAMUser',
      principalId: (rest['userIdentity'] as { principalId: string }).principalId,
      arn: `arn:aws:iam::${ACCOUNT}:user/admin`,
      accountId: ACCOUNT,
      accessKeyId: 'admin',
      userName: 'admin',
    },
    eventSource: 'kms.amazonaws.com',
    eventName: 'Encrypt',
    awsRegion: REGION,
    sourceIPAddress: '127.0.0.1',
    requestParameters: {
      keyId: KeyId,
      encryptionContext: { App: 'A' },
      encryptionAlgorithm: 'SYMMETRIC_DEFAULT',
    },
    responseElements: null,
    requestID: encrypted.$metadata.requestId,
    readOnly: true,
    resources: [{ accountId: ACCOUNT, type: 'AWS::KMS::Key', ARN: arn }],
    eventType: 'AwsApiCall',
    managementEvent: true,
    recipientAccountId: ACCOUNT,
    eventCategory: 'Management',
  });
  assert.equal((create['responseElements'] as { keyMetadata: { arn: string } }).keyMetadata.arn, arn);
  assert.deepEqual(tag['requestParameters'], { keyId: KeyId, tags: [{ tagKey: 'K', tagValue: 'V' }] });
  assert.equal(denied.errorCode, 'AccessDenied');
  assert.match(denied.errorMessage ?? '', /is not authorized to perform: kms:ListKeys/);

  const [unknown] = await recordsOf(kms, '000000000000');
  assert.equal(unknown?.errorCode, 'MissingAuthenticationTokenException');
  assert.deepEqual(unknown?.['userIdentity'], { type: 'Unknown' });
});

test('a key made in the process is recorded as the root of its account', async (t) => {
  const kms = await startTestService();
  t.after(() => kms.close());
  const request = { accountId: ACCOUNT, region: REGION, aliasName: 'alias/waxseal', description: 'first' };
  const made = await kms.service.ensureKey(request);
  assert.equal(made.created, true);
  assert.deepEqual(await kms.service.ensureKey(request), { ...made, created: false });
  await kms.restart();
  assert.deepEqual(await kms.service.ensureKey(request), { ...made, created: false });
  const records = await recordsOf(kms, ACCOUNT);
  assert.deepEqual(
    records.map(({ eventName }) => eventName),
    ['CreateKey', 'CreateAlias'],
  );
  assert.deepEqual(records[0]?.['userIdentity'], {
    type: 'Root',
    principalId: ACCOUNT,
    arn: `arn:aws:iam::${ACCOUNT}:root`,
    accountId: ACCOUNT,
    invokedBy: 'waxseal.internal',
  });
});
