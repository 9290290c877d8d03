// Goal: policies about calls of AWS services can be tried: an access key that the configuration gives to a service calls on its user's behalf.
import assert from 'node:assert/strict';
import { Agent } from 'node:https';
import { test } from 'node:test';
import * as sdk from '@aws-sdk/client-kms';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { type AuditRecord, recordsOf } from '../testing/audit-records.js';
import { ACCOUNT, REGION, SECRET, startTestService, type TestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';
import { parsePrincipals } from './principals-file.js';

const VOLUME = `arn:aws:ec2:${REGION}:${ACCOUNT}:volume/v`;

/** @param headers sent, and signed unless the signer is told not to */
function clientOf(
  kms: TestService,
  accessKeyId: string,
  headers: Readonly<Record<string, string>>,
  step: 'build' | 'deserialize' = 'build',
): sdk.KMSClient {
  const client = new sdk.KMSClient({
    region: REGION,
    endpoint: kms.service.endpoint,
    maxAttempts: 1,
    credentials: { accessKeyId, secretAccessKey: SECRET },
    requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: kms.ca }) }),
  });
  client.middlewareStack.add(
    (next) => (args) => {
      Object.assign((args as { request: { headers: object } }).request.headers, headers);
      return next(args);
    },
    { step: step as 'build', name: 'sourceHeaders', priority: 'low' },
  );
  return client;
}

test('an access key of a service carries its name, and the source it signs', async (t) => {
  const kms = await startTestService();
  t.after(() => kms.close());
  const statement = { Effect: 'Allow', Resource: '*' };
  const onlyVia = { 'kms:ViaService': `ec2.${REGION}.amazonaws.com`, 'aws:SourceArn': VOLUME };
  const Policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      { ...statement, Principal: { AWS: `arn:aws:iam::${ACCOUNT}:user/admin` }, Action: 'kms:*' },
      {
        ...statement,
        Principal: { AWS: `arn:aws:iam::${ACCOUNT}:user/nobody` },
        Action: 'kms:Encrypt',
        Condition: { StringEquals: onlyVia },
      },
    ],
  });
  const { KeyMetadata } = await kms.client().send(new sdk.CreateKeyCommand({ Policy }));
  const encrypt = (client: sdk.KMSClient) =>
    client.send(new sdk.EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: Buffer.from('x') }));
  const source = { 'x-amz-source-arn': VOLUME, 'x-amz-source-account': ACCOUNT };

  await encrypt(clientOf(kms, 'ec2', source));
  await rejectsWith(encrypt(clientOf(kms, 'ec2', {})), 'AccessDeniedException');
  await rejectsWith(
    encrypt(clientOf(kms, 'ec2', { 'x-amz-source-arn': `${VOLUME}2` })),
    'AccessDeniedException',
  );
  // The same user without the service, whatever it sends.
  await rejectsWith(encrypt(clientOf(kms, 'nobody', source)), 'AccessDeniedException');
  await rejectsWith(encrypt(clientOf(kms, 'ec2', source, 'deserialize')), 'InvalidSignatureException');

  const [, used] = (await recordsOf(kms, ACCOUNT)) as [AuditRecord, AuditRecord];
  const { userName, invokedBy } = used['userIdentity'] as Record<string, unknown>;
  assert.deepEqual([used.eventName, userName, invokedBy], ['Encrypt', 'nobody', 'ec2.amazonaws.com']);
});

test('the file gives access keys to services, and to nothing else', () => {
  const parse = (viaService: unknown) =>
    parsePrincipals(
      JSON.stringify({
        accounts: [
          {
            id: ACCOUNT,
            users: [{ name: 'a', accessKeys: [{ id: 'AKIA', secret: 'long-enough', viaService }] }],
          },
        ],
      }),
    );
  assert.equal(parse('s3.amazonaws.com').findAccessKey('AKIA')?.viaService, 's3.amazonaws.com');
  for (const bad of ['ec2', 'ec2.example.com', '.amazonaws.com', 7]) {
    assert.throws(() => parse(bad), /viaService must be a service such as/);
  }
});
