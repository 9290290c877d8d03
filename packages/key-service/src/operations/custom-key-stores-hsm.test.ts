// Goal: custom key stores work over a real PKCS#11 token, with unmodified clients. Method: SoftHSM2, the SDK and the aws CLI.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import {
  ConnectCustomKeyStoreCommand,
  CreateCustomKeyStoreCommand,
  CreateKeyCommand,
  DecryptCommand,
  DeleteCustomKeyStoreCommand,
  DescribeCustomKeyStoresCommand,
  DescribeKeyCommand,
  DisconnectCustomKeyStoreCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateRandomCommand,
  type KMSClient,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import { openPkcs11Module, type Token } from '@waxseal/pkcs11';
import { createSoftHsm, type SoftHsm } from '@waxseal/pkcs11/testing';
import { awsCli } from '../testing/aws-cli.js';
import { ACCOUNT, REGION, startTestService, type TestService } from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

const CLUSTER = 'cluster-1a23b4cdefg';
const DAY_MS = 86_400_000;

let aheadMs = 0;
let hsm: SoftHsm;
let kms: TestService;
let client: KMSClient;
/** The test's own look into the token. */
let token: Token;
let CustomKeyStoreId: string;

before(async () => {
  // The API takes passwords of 7 characters and more.
  hsm = await createSoftHsm({ pin: '62481735' });
  const tokens = [
    { accountId: ACCOUNT, clusterId: CLUSTER, module: hsm.modulePath, label: hsm.tokenLabel },
    {
      accountId: ACCOUNT,
      clusterId: 'cluster-2a23b4cdefg',
      module: hsm.modulePath,
      label: 'not there',
    },
    { accountId: ACCOUNT, clusterId: 'cluster-3a23b4cdefg', module: '/nowhere/module.so', label: 'a' },
  ];
  kms = await startTestService({ tokens, now: () => Date.now() + aheadMs });
  client = kms.client();
  const module = await openPkcs11Module(hsm.modulePath);
  token = await module.openToken({ label: hsm.tokenLabel, pin: hsm.pin() });
});
after(async () => {
  await kms.close();
  await token.close();
  await hsm.remove();
});

async function waitFor(id: string, state: string): Promise<string | undefined> {
  for (let look = 0; look < 1000; look++) {
    const { CustomKeyStores } = await client.send(
      new DescribeCustomKeyStoresCommand({ CustomKeyStoreId: id }),
    );
    const found = CustomKeyStores?.[0];
    if (found?.ConnectionState === state) return found.ConnectionErrorCode;
    await delay(5);
  }
  return assert.fail(`${id} did not become ${state}`);
}

async function createStore(name: string, clusterId: string, password: string): Promise<string> {
  const created = await client.send(
    new CreateCustomKeyStoreCommand({
      CustomKeyStoreName: name,
      CloudHsmClusterId: clusterId,
      KeyStorePassword: password,
      TrustAnchorCertificate: kms.ca,
    }),
  );
  return created.CustomKeyStoreId ?? '';
}

async function createKey(): Promise<string> {
  const { KeyMetadata } = await client.send(
    new CreateKeyCommand({ Origin: 'AWS_CLOUDHSM', CustomKeyStoreId }),
  );
  return KeyMetadata?.KeyId ?? '';
}

const arn = (keyId: string): string => `arn:aws:kms:${REGION}:${ACCOUNT}:key/${keyId}`;
const tokenKeys = (keyId: string) => token.findKeys({ label: arn(keyId) });

test('a wrong PIN, a token that is not there and a module that is none are told apart', async () => {
  for (const [clusterId, code] of [
    [CLUSTER, 'INVALID_CREDENTIALS'],
    ['cluster-2a23b4cdefg', 'CLUSTER_NOT_FOUND'],
    ['cluster-3a23b4cdefg', 'INTERNAL_ERROR'],
  ] as const) {
    const id = await createStore('wrong', clusterId, 'not the pin');
    await client.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId: id }));
    assert.equal(await waitFor(id, 'FAILED'), code);
    await client.send(new DisconnectCustomKeyStoreCommand({ CustomKeyStoreId: id }));
    await client.send(new DeleteCustomKeyStoreCommand({ CustomKeyStoreId: id }));
  }
});

test('a store of the token connects', async () => {
  CustomKeyStoreId = await createStore('in the token', CLUSTER, hsm.pin().toString());
  await client.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId }));
  await waitFor(CustomKeyStoreId, 'CONNECTED');
  const { Plaintext } = await client.send(new GenerateRandomCommand({ NumberOfBytes: 32, CustomKeyStoreId }));
  assert.equal(Plaintext?.length, 32);
});

test('a key is made in the token and cannot leave it', async () => {
  const keyId = await createKey();
  const [key, second] = await tokenKeys(keyId);
  assert.ok(key !== undefined && second === undefined);
  assert.deepEqual(key.id.toString('hex'), keyId.replaceAll('-', ''));
  const { sensitive, extractable, alwaysSensitive, neverExtractable, local, valueBytes } =
    await token.attributes(key);
  assert.deepEqual(
    { sensitive, extractable, alwaysSensitive, neverExtractable, local, valueBytes },
    {
      sensitive: true,
      extractable: false,
      alwaysSensitive: true,
      neverExtractable: true,
      local: true,
      valueBytes: 32,
    },
  );
});

test('the token encrypts and decrypts, at every length and under its context only', async () => {
  const KeyId = await createKey();
  const EncryptionContext = { app: 'shop', ключ: 'значение' };
  for (const length of [1, 15, 16, 17, 4096]) {
    const Plaintext = randomBytes(length);
    const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext, EncryptionContext }));
    const opened = await client.send(new DecryptCommand({ CiphertextBlob, EncryptionContext }));
    assert.deepEqual(Buffer.from(opened.Plaintext ?? []), Plaintext);
    await rejectsWith(client.send(new DecryptCommand({ CiphertextBlob })), 'InvalidCiphertextException');
  }
  const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
  const blob = Buffer.from(CiphertextBlob ?? []);
  for (let at = 55; at < blob.length; at++) {
    const flipped = Buffer.from(blob);
    flipped[at] = (flipped[at] as number) ^ 0x80;
    await rejectsWith(
      client.send(new DecryptCommand({ CiphertextBlob: flipped })),
      'InvalidCiphertextException',
    );
  }
});

test('many calls at once share the sessions', async () => {
  const KeyId = await createKey();
  const calls = Array.from({ length: 64 }, async () => {
    const made = await client.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' }));
    const opened = await client.send(new DecryptCommand({ CiphertextBlob: made.CiphertextBlob }));
    assert.deepEqual(opened.Plaintext, made.Plaintext);
    return Buffer.from(made.CiphertextBlob ?? []).toString('hex', 55, 67);
  });
  const nonces = await Promise.all(calls);
  assert.equal(new Set(nonces).size, nonces.length);
});

test('after a restart the store connects by itself and the older ciphertexts open', async () => {
  const KeyId = await createKey();
  const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
  await kms.restart();
  client = kms.client();
  await waitFor(CustomKeyStoreId, 'CONNECTED');
  const { Plaintext } = await client.send(new DecryptCommand({ CiphertextBlob }));
  assert.equal(Buffer.from(Plaintext ?? []).toString(), 'x');
});

test('a key whose token key somebody removed is unavailable, others are not', async () => {
  const [lost, other] = [await createKey(), await createKey()];
  await client.send(new EncryptCommand({ KeyId: lost, Plaintext: Buffer.from('x') }));
  for (const key of await tokenKeys(lost)) await token.destroy(key);
  await rejectsWith(
    client.send(new EncryptCommand({ KeyId: lost, Plaintext: Buffer.from('x') })),
    'KMSInvalidStateException',
  );
  await client.send(new EncryptCommand({ KeyId: other, Plaintext: Buffer.from('x') }));
});

test('at its date the key is destroyed in the token', async () => {
  const KeyId = await createKey();
  await client.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  assert.equal((await tokenKeys(KeyId)).length, 1);
  aheadMs = 8 * DAY_MS;
  client = kms.client();
  await rejectsWith(client.send(new DescribeKeyCommand({ KeyId })), 'NotFoundException');
  for (let look = 0; look < 1000 && (await tokenKeys(KeyId)).length > 0; look++) await delay(5);
  assert.equal((await tokenKeys(KeyId)).length, 0);
});

test('the aws CLI makes a store and a key in it, as on AWS', async () => {
  // The CLI signs by the machine's clock.
  aheadMs = 0;
  client = kms.client();
  await client.send(new DisconnectCustomKeyStoreCommand({ CustomKeyStoreId }));
  await waitFor(CustomKeyStoreId, 'DISCONNECTED');
  const certificate = join(kms.dataDir, 'customerCA.crt');
  await writeFile(certificate, kms.ca);
  const aws = await awsCli(kms);
  const text = ['--output', 'text', '--query'];
  const store = ['--custom-key-store-id', CustomKeyStoreId];
  await assert.rejects(
    aws(
      'kms',
      'create-custom-key-store',
      '--custom-key-store-name',
      'another',
      '--cloud-hsm-cluster-id',
      CLUSTER,
      '--key-store-password',
      'any password',
      '--trust-anchor-certificate',
      `file://${certificate}`,
    ),
    /CloudHsmClusterInUseException/,
  );
  await aws('kms', 'update-custom-key-store', ...store, '--new-custom-key-store-name', 'renamed');
  await aws('kms', 'connect-custom-key-store', ...store);
  await waitFor(CustomKeyStoreId, 'CONNECTED');
  assert.equal(
    await aws(
      'kms',
      'describe-custom-key-stores',
      ...store,
      ...text,
      'CustomKeyStores[0].CustomKeyStoreName',
    ),
    'renamed',
  );
  const origin = ['--origin', 'AWS_CLOUDHSM'];
  assert.equal(
    await aws('kms', 'create-key', ...store, ...origin, ...text, 'KeyMetadata.[Origin, CloudHsmClusterId]'),
    `AWS_CLOUDHSM\t${CLUSTER}`,
  );
});
