/**
 * Goal: the AWS Encryption SDK takes the key service for AWS KMS: its messages, keyrings and commitment policies work as with AWS.
 * Method: `@aws-crypto/client-node` against `waxseal kms serve` over TLS; which keys wrapped a message is read from its header.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import {
  AlgorithmSuiteIdentifier,
  AwsKmsMrkAwareSymmetricDiscoveryKeyringNode,
  AwsKmsMrkAwareSymmetricKeyringNode,
  buildAwsKmsMrkAwareStrictMultiKeyringNode,
  buildClient,
  CommitmentPolicy,
  KMS,
  KmsKeyringNode,
  type KmsNodeClientSupplier,
} from '@aws-crypto/client-node';
import { DisableKeyCommand, EnableKeyCommand, ScheduleKeyDeletionCommand } from '@aws-sdk/client-kms';
import {
  ACCOUNT,
  KEY_ARN,
  OTHER_REGION,
  startKeyService,
  type KeyServiceUnderTest,
} from '../support/key-service.js';

const GENERATOR = '00000000-0000-4000-8000-000000000001';
const ADDITIONAL = '00000000-0000-4000-8000-000000000002';
const GONE = '00000000-0000-4000-8000-000000000003';
const MRK = 'mrk-00000000000000000000000000000001';
const context = { app: 'shop', purpose: 'test' };

const { encrypt, encryptStream, decrypt, decryptStream } = buildClient(
  CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
);

let kms: KeyServiceUnderTest;

before(async () => {
  kms = await startKeyService({
    keys: [
      ...[GENERATOR, ADDITIONAL, GONE].map((keyId) => ({ region: 'us-east-1', keyId })),
      { region: 'us-east-1', keyId: GENERATOR.replace(/1$/, '9'), alias: 'alias/sdk' },
      { region: 'us-east-1', keyId: MRK },
      { region: OTHER_REGION, keyId: MRK },
    ],
  });
});
after(() => kms.close());

/** The SDK's types were written before exactOptionalPropertyTypes; at run time its client is the AWS SDK's. */
const clientProvider = (region: string) =>
  new KMS(kms.settings(region)) as Exclude<ReturnType<KmsNodeClientSupplier>, false>;
const keyring = (generatorKeyId: string, keyIds: readonly string[] = []) =>
  new KmsKeyringNode({ clientProvider, generatorKeyId, keyIds: [...keyIds] });
const arn = (keyId: string): string => `${KEY_ARN}${keyId}`;

test('a message opens with each key that wrapped it, and with no other', async () => {
  const { result, messageHeader } = await encrypt(keyring(arn(GENERATOR), [arn(ADDITIONAL)]), 'sealed', {
    encryptionContext: context,
  });
  assert.deepEqual(
    messageHeader.encryptedDataKeys.map(({ providerInfo }) => providerInfo),
    [arn(GENERATOR), arn(ADDITIONAL)],
  );
  for (const keyId of [GENERATOR, ADDITIONAL]) {
    const opened = await decrypt(new KmsKeyringNode({ clientProvider, keyIds: [arn(keyId)] }), result);
    assert.equal(opened.plaintext.toString(), 'sealed');
    assert.deepEqual(
      {
        app: opened.messageHeader.encryptionContext['app'],
        purpose: opened.messageHeader.encryptionContext['purpose'],
      },
      context,
    );
  }
  await assert.rejects(
    decrypt(new KmsKeyringNode({ clientProvider, keyIds: [arn(GONE)] }), result),
    /unencryptedDataKey has not been set/,
  );
});

test('an alias generates a message that its key opens', async () => {
  const { result } = await encrypt(keyring(`arn:aws:kms:us-east-1:${ACCOUNT}:alias/sdk`), 'by alias');
  const opened = await decrypt(
    new KmsKeyringNode({ clientProvider, keyIds: [arn(GENERATOR.replace(/1$/, '9'))] }),
    result,
  );
  assert.equal(opened.plaintext.toString(), 'by alias');
});

test('a discovery keyring finds the key by the message, within its filter', async () => {
  const { result } = await encrypt(keyring(arn(GENERATOR)), 'found');
  const filtered = (accountId: string) =>
    new KmsKeyringNode({
      clientProvider,
      discovery: true,
      discoveryFilter: { accountIDs: [accountId], partition: 'aws' },
    });
  assert.equal((await decrypt(filtered(ACCOUNT), result)).plaintext.toString(), 'found');
  await assert.rejects(decrypt(filtered('999999999999'), result), /unencryptedDataKey has not been set/);
});

test('a disabled key and one that waits for its deletion leave the message to the other key', async () => {
  const client = kms.client();
  const both = keyring(arn(GONE), [arn(ADDITIONAL)]);
  const { result } = await encrypt(both, 'twice');
  await client.send(new DisableKeyCommand({ KeyId: ADDITIONAL }));
  await assert.rejects(encrypt(both, 'refused'), /DisabledException|is disabled/);
  assert.equal((await decrypt(both, result)).plaintext.toString(), 'twice');
  await client.send(new EnableKeyCommand({ KeyId: ADDITIONAL }));
  await client.send(new ScheduleKeyDeletionCommand({ KeyId: GONE, PendingWindowInDays: 7 }));
  assert.equal((await decrypt(both, result)).plaintext.toString(), 'twice');
});

test('multi-Region keyrings open in another Region what was sealed in one', async () => {
  const there = `arn:aws:kms:${OTHER_REGION}:${ACCOUNT}:key/${MRK}`;
  const here = new AwsKmsMrkAwareSymmetricKeyringNode({
    client: clientProvider('us-east-1'),
    keyId: arn(MRK),
  });
  const { result } = await encrypt(here, 'both Regions', { encryptionContext: context });
  const replica = new AwsKmsMrkAwareSymmetricKeyringNode({
    client: clientProvider(OTHER_REGION),
    keyId: there,
  });
  assert.equal((await decrypt(replica, result)).plaintext.toString(), 'both Regions');
  const multi = buildAwsKmsMrkAwareStrictMultiKeyringNode({ clientProvider, generatorKeyId: there });
  assert.equal((await decrypt(multi, result)).plaintext.toString(), 'both Regions');
  const discovery = new AwsKmsMrkAwareSymmetricDiscoveryKeyringNode({
    client: clientProvider(OTHER_REGION),
    discoveryFilter: { accountIDs: [ACCOUNT], partition: 'aws' },
  });
  assert.equal((await decrypt(discovery, result)).plaintext.toString(), 'both Regions');
});

test('4 MiB stream through one data key', async () => {
  const plaintext = randomBytes(4 * 1024 * 1024);
  const ring = keyring(arn(GENERATOR));
  const sealed = await buffer(
    Readable.from([plaintext.subarray(0, 1_000_000), plaintext.subarray(1_000_000)]).pipe(
      encryptStream(ring, { encryptionContext: context, frameLength: 65_536 }),
    ),
  );
  assert.ok(sealed.length > plaintext.length);
  const opened = await buffer(Readable.from([sealed]).pipe(decryptStream(ring)));
  assert.ok(opened.equals(plaintext));
  sealed[sealed.length - 1_000_000] = (sealed[sealed.length - 1_000_000] ?? 0) ^ 1;
  await assert.rejects(buffer(Readable.from([sealed]).pipe(decryptStream(ring))));
});

test('a changed context, a flipped bit and a cut message are refused', async () => {
  const ring = keyring(arn(GENERATOR));
  const { result } = await encrypt(ring, 'sealed', { encryptionContext: context });
  const swapped = Buffer.from(result);
  const at = swapped.indexOf('shop');
  swapped.write('shot', at);
  await assert.rejects(decrypt(ring, swapped));
  const flipped = Buffer.from(result);
  flipped[flipped.length - 1] = (flipped[flipped.length - 1] ?? 0) ^ 1;
  await assert.rejects(decrypt(ring, flipped));
  await assert.rejects(decrypt(ring, result.subarray(0, -20)));
});

const suites = [
  [CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT, AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16],
  [
    CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT,
    AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384,
  ],
  [
    CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT,
    AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY,
  ],
  [
    CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
    AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
  ],
] as const;

for (const [policy, suiteId] of suites) {
  test(`${AlgorithmSuiteIdentifier[suiteId]} under ${policy}`, async () => {
    const client = buildClient(policy);
    const ring = keyring(arn(GENERATOR));
    const { result } = await client.encrypt(ring, 'suite', { suiteId, encryptionContext: context });
    assert.equal((await client.decrypt(ring, result)).plaintext.toString(), 'suite');
  });
}
