// Goal: GenerateMac and VerifyMac behave as AWS's for every HMAC spec, seen through the real SDK.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CreateKeyCommand,
  GenerateMacCommand,
  type KeySpec,
  type KeyUsageType,
  type KMSClient,
  type MacAlgorithmSpec,
  VerifyMacCommand,
} from '@aws-sdk/client-kms';
import { startTestService, type TestService } from '../testing/harness.js';
import { rawCall } from '../testing/raw-call.js';
import { rejectsWith } from '../testing/rejects.js';

let kms: TestService;
let client: KMSClient;

before(async () => {
  kms = await startTestService();
  client = kms.client();
});
after(() => kms.close());

async function createKey(KeySpec: KeySpec, KeyUsage: KeyUsageType = 'GENERATE_VERIFY_MAC'): Promise<string> {
  const { KeyMetadata } = await client.send(new CreateKeyCommand({ KeySpec, KeyUsage }));
  return KeyMetadata?.Arn ?? '';
}

const Message = Buffer.from('some important message');

for (const [spec, MacAlgorithm, bytes] of [
  ['HMAC_224', 'HMAC_SHA_224', 28],
  ['HMAC_256', 'HMAC_SHA_256', 32],
  ['HMAC_384', 'HMAC_SHA_384', 48],
  ['HMAC_512', 'HMAC_SHA_512', 64],
] as const) {
  test(`${spec} makes and checks MACs`, async () => {
    const KeyId = await createKey(spec);
    const { Mac, ...made } = await client.send(new GenerateMacCommand({ KeyId, Message, MacAlgorithm }));
    assert.equal(Mac?.length, bytes);
    assert.equal(made.KeyId, KeyId);
    assert.equal(made.MacAlgorithm, MacAlgorithm);
    const checked = await client.send(new VerifyMacCommand({ KeyId, Message, MacAlgorithm, Mac }));
    assert.equal(checked.MacValid, true);
    assert.equal(checked.KeyId, KeyId);
    const body = JSON.stringify({
      KeyId,
      MacAlgorithm,
      Mac: Buffer.from(Mac ?? []).toString('base64'),
      Message: Buffer.from('some different important message').toString('base64'),
    });
    const answer = await rawCall(kms, { action: 'VerifyMac', body });
    assert.equal(answer.status, 400);
    assert.equal(answer.body, '{"__type":"KMSInvalidMacException"}');
  });
}

test('other algorithms, other keys, other lengths', async () => {
  const KeyId = await createKey('HMAC_256');
  const generate = (id: string, MacAlgorithm: MacAlgorithmSpec): Promise<unknown> =>
    client.send(new GenerateMacCommand({ KeyId: id, Message, MacAlgorithm }));
  await rejectsWith(
    generate(KeyId, 'HMAC_SHA_512'),
    'InvalidKeyUsageException',
    'Algorithm HMAC_SHA_512 is incompatible with key spec HMAC_256.',
  );
  await rejectsWith(
    generate(KeyId, 'INVALID' as MacAlgorithmSpec),
    'ValidationException',
    "1 validation error detected: Value 'INVALID' at 'macAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512]",
  );
  const symmetric = await createKey('SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT');
  await rejectsWith(
    generate(symmetric, 'HMAC_SHA_256'),
    'InvalidKeyUsageException',
    `${symmetric} key usage is ENCRYPT_DECRYPT which is not valid for GenerateMac.`,
  );
  await rejectsWith(
    client.send(
      new VerifyMacCommand({ KeyId, Message, MacAlgorithm: 'HMAC_SHA_256', Mac: Buffer.alloc(33) }),
    ),
    'KMSInvalidMacException',
  );
  await rejectsWith(
    client.send(new GenerateMacCommand({ KeyId, Message: Buffer.alloc(4097), MacAlgorithm: 'HMAC_SHA_256' })),
    'ValidationException',
    "1 validation error detected: Value at 'message' failed to satisfy constraint: Member must have length less than or equal to 4096",
  );
});
