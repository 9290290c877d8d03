// Goal: conditions see the values of real calls, where reading a request or looking at the key comes before the decision.
import assert from 'node:assert/strict';
import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { Agent } from 'node:https';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { ACCOUNT, REGION, SECRET, startTestService, type TestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 0, 1);

/** The account may do everything with the key, but for what the condition meets. */
const policyDenying = (Action: string, Condition: object): string =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Principal: { AWS: ACCOUNT }, Action: 'kms:*', Resource: '*' },
      { Effect: 'Deny', Principal: '*', Action, Resource: '*', Condition },
    ],
  });

test('kms:ValidTo is compared in seconds', async (t) => {
  const kms = await startTestService({ now: () => START_MS });
  t.after(() => kms.close());
  const client = kms.client();
  const limit = START_MS + 2 * DAY_MS;
  const Condition = { NumericGreaterThan: { 'kms:ValidTo': String(limit / 1000) } };
  const { KeyMetadata } = await client.send(
    new sdk.CreateKeyCommand({
      Origin: 'EXTERNAL',
      Policy: policyDenying('kms:ImportKeyMaterial', Condition),
    }),
  );
  const KeyId = KeyMetadata?.KeyId;
  const { ImportToken, PublicKey = Buffer.alloc(0) } = await client.send(
    new sdk.GetParametersForImportCommand({
      KeyId,
      WrappingAlgorithm: 'RSAES_OAEP_SHA_256',
      WrappingKeySpec: 'RSA_2048',
    }),
  );
  const EncryptedKeyMaterial = publicEncrypt(
    {
      key: createPublicKey({ key: Buffer.from(PublicKey), format: 'der', type: 'spki' }),
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: 'sha256',
    },
    randomBytes(32),
  );
  const importUntil = (millis: number) =>
    client.send(
      new sdk.ImportKeyMaterialCommand({
        KeyId,
        ImportToken,
        EncryptedKeyMaterial,
        ValidTo: new Date(millis),
      }),
    );
  await rejectsWith(importUntil(limit + 1000), 'AccessDeniedException');
  await importUntil(limit);
});

test('kms:TrailingDaysWithoutKeyUsage counts from the last use, or from the beginning', async (t) => {
  let nowMs = START_MS;
  const kms = await startTestService({ now: () => nowMs });
  t.after(() => kms.close());
  const Condition = { NumericLessThanEquals: { 'kms:TrailingDaysWithoutKeyUsage': '2' } };
  const Policy = policyDenying('kms:DisableKey', Condition);
  const { KeyMetadata } = await kms.client().send(new sdk.CreateKeyCommand({ Policy }));
  const KeyId = KeyMetadata?.KeyId;
  const disable = () => kms.client().send(new sdk.DisableKeyCommand({ KeyId }));
  await rejectsWith(disable(), 'AccessDeniedException');
  nowMs += 3 * DAY_MS - 1000;
  await rejectsWith(disable(), 'AccessDeniedException');
  await kms.client().send(new sdk.EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
  nowMs += 1000;
  await rejectsWith(disable(), 'AccessDeniedException');
  nowMs += 3 * DAY_MS;
  await disable();
});

test('a new replica is decided on as what it will be', async (t) => {
  const kms = await startTestService();
  t.after(() => kms.close());
  const { KeyMetadata } = await kms
    .client()
    .send(new sdk.CreateKeyCommand({ MultiRegion: true, KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }));
  const replicate = async (ReplicaRegion: string, StringEquals: object): Promise<unknown> => {
    const client = await limitedTo(kms, [
      { Effect: 'Allow', Action: 'kms:ReplicateKey', Resource: '*' },
      { Effect: 'Allow', Action: 'kms:CreateKey', Resource: '*', Condition: { StringEquals } },
    ]);
    return client.send(new sdk.ReplicateKeyCommand({ KeyId: KeyMetadata?.KeyId, ReplicaRegion }));
  };
  await rejectsWith(replicate('us-east-1', { 'kms:MultiRegionKeyType': 'PRIMARY' }), 'AccessDeniedException');
  await rejectsWith(replicate('us-east-1', { 'kms:KeySpec': 'SYMMETRIC_DEFAULT' }), 'AccessDeniedException');
  await rejectsWith(replicate('us-east-1', { 'aws:RequestedRegion': REGION }), 'AccessDeniedException');
  await replicate('us-east-1', {
    'kms:MultiRegionKeyType': 'REPLICA',
    'kms:MultiRegion': 'true',
    'kms:KeySpec': 'ECC_NIST_P256',
    'kms:KeyUsage': 'SIGN_VERIFY',
    'aws:RequestedRegion': 'us-east-1',
  });
  const replica = await kms
    .client('admin', 'us-east-1')
    .send(new sdk.DescribeKeyCommand({ KeyId: KeyMetadata?.KeyId }));
  assert.equal(replica.KeyMetadata?.KeyState, 'Enabled');
  assert.equal(replica.KeyMetadata?.MultiRegionConfiguration?.MultiRegionKeyType, 'REPLICA');
});

/** A session of an administrator's role under a session policy. */
async function limitedTo(kms: TestService, Statement: readonly object[]): Promise<sdk.KMSClient> {
  const config = {
    region: REGION,
    endpoint: kms.service.endpoint,
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: kms.ca }) }),
  };
  const credentials = { accessKeyId: 'nobody', secretAccessKey: SECRET };
  const { Credentials } = await new STSClient({ ...config, credentials }).send(
    new AssumeRoleCommand({
      RoleArn: `arn:aws:iam::${ACCOUNT}:role/service-role/deployer`,
      RoleSessionName: 'limited',
      Policy: JSON.stringify({ Version: '2012-10-17', Statement }),
    }),
  );
  return new sdk.KMSClient({
    ...config,
    credentials: {
      accessKeyId: Credentials?.AccessKeyId ?? '',
      secretAccessKey: Credentials?.SecretAccessKey ?? '',
      sessionToken: Credentials?.SessionToken ?? '',
    },
  });
}
