// Goal: the last successful cryptographic use of a key is known at once, and after a restart.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CreateKeyCommand,
  DescribeKeyCommand,
  EncryptCommand,
  GetKeyLastUsageCommand,
  type GetKeyLastUsageCommandOutput,
  type KMSClient,
  ReEncryptCommand,
  SignCommand,
  VerifyCommand,
} from '@aws-sdk/client-kms';
import { startTestService, type TestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

const START = Date.parse('2026-05-05T12:00:00.000Z');

let nowMs = START;
let kms: TestService;
let client: KMSClient;

before(async () => {
  kms = await startTestService({ now: () => nowMs });
  client = kms.client();
});
after(() => kms.close());

async function createKey(signs = false): Promise<string> {
  const { KeyMetadata } = await client.send(
    new CreateKeyCommand(signs ? { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' } : {}),
  );
  return KeyMetadata?.KeyId ?? '';
}

const lastUsage = (KeyId: string): Promise<GetKeyLastUsageCommandOutput> =>
  client.send(new GetKeyLastUsageCommand({ KeyId }));

const Message = Buffer.from('x');

test('an unused key has no last usage', async () => {
  nowMs += 1000;
  const KeyId = await createKey();
  await client.send(new DescribeKeyCommand({ KeyId }));
  const { $metadata: _, ...answer } = await lastUsage(KeyId);
  const created = new Date(nowMs);
  assert.deepEqual(answer, { KeyCreationDate: created, KeyId, KeyLastUsage: {}, TrackingStartDate: created });
});

test('the last use is told with its date and ids, and survives a restart', async () => {
  const KeyId = await createKey();
  await client.send(new EncryptCommand({ KeyId, Plaintext: Message }));
  nowMs += 5000;
  const { $metadata, CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext: Message }));
  const { KeyLastUsage } = await lastUsage(KeyId);
  assert.equal(KeyLastUsage?.Operation, 'Encrypt');
  assert.deepEqual(KeyLastUsage?.Timestamp, new Date(nowMs));
  assert.equal(KeyLastUsage?.KmsRequestId, $metadata.requestId);
  assert.match(KeyLastUsage?.CloudTrailEventId ?? '', /^[0-9a-f-]{36}$/);

  await kms.restart();
  client = kms.client();
  assert.deepEqual((await lastUsage(KeyId)).KeyLastUsage, KeyLastUsage);

  const other = await createKey();
  await client.send(new ReEncryptCommand({ CiphertextBlob, DestinationKeyId: other }));
  assert.equal((await lastUsage(KeyId)).KeyLastUsage?.Operation, 'ReEncrypt');
  assert.deepEqual((await lastUsage(KeyId)).KeyLastUsage, (await lastUsage(other)).KeyLastUsage);
});

test('what fails is no use', async () => {
  const KeyId = await createKey(true);
  const SigningAlgorithm = 'ECDSA_SHA_256';
  const request = { KeyId, Message, SigningAlgorithm } as const;
  await rejectsWith(
    client.send(new VerifyCommand({ ...request, Signature: Buffer.alloc(70) })),
    'KMSInvalidSignatureException',
  );
  await rejectsWith(client.send(new SignCommand({ ...request, DryRun: true })), 'DryRunOperationException');
  assert.deepEqual((await lastUsage(KeyId)).KeyLastUsage, {});
  await client.send(new SignCommand(request));
  assert.equal((await lastUsage(KeyId)).KeyLastUsage?.Operation, 'Sign');
});
