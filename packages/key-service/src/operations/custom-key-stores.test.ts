// Goal: custom key stores have AWS's members, states and errors. Method: the real SDK, over a token that fails as told.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import {
  ConnectCustomKeyStoreCommand,
  CreateAliasCommand,
  CreateCustomKeyStoreCommand,
  type CreateCustomKeyStoreCommandInput,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  type CustomKeyStoresListEntry,
  DecryptCommand,
  DeleteCustomKeyStoreCommand,
  DescribeCustomKeyStoresCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  DisconnectCustomKeyStoreCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyPairWithoutPlaintextCommand,
  GenerateDataKeyWithoutPlaintextCommand,
  GenerateRandomCommand,
  GetKeyRotationStatusCommand,
  GetParametersForImportCommand,
  type KMSClient,
  ListKeyRotationsCommand,
  ReEncryptCommand,
  ReplicateKeyCommand,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
  UpdateCustomKeyStoreCommand,
} from '@aws-sdk/client-kms';
import { recordsOf } from '../testing/audit-records.js';
import {
  CLUSTER,
  createFakeToken,
  type FakeToken,
  fakeTokenConfig,
  OTHER_CLUSTER,
  PIN,
} from '../testing/fake-token.js';
import { ACCOUNT, REGION, startTestService, type TestService } from '../testing/harness.js';
import { createMemoryStore } from '../testing/memory-store.js';
import { rejectsWith } from '../testing/rejects.js';

const DAY_MS = 86_400_000;

interface Bench {
  readonly kms: TestService;
  client: KMSClient;
  readonly token: FakeToken;
  nowMs: number;
}

async function start(t: TestContext): Promise<Bench> {
  const token = createFakeToken();
  const bench = { token, nowMs: Date.parse('2026-05-05T12:00:00.250Z') };
  const kms = await startTestService({
    now: () => bench.nowMs,
    tokens: [fakeTokenConfig(), fakeTokenConfig(OTHER_CLUSTER)],
    openToken: token.openToken,
  });
  t.after(() => kms.close());
  return Object.assign(bench, { kms, client: kms.client() });
}

const STORE: CreateCustomKeyStoreCommandInput = {
  CustomKeyStoreName: 'a store',
  CloudHsmClusterId: CLUSTER,
  KeyStorePassword: PIN,
  CustomKeyStoreType: 'PKCS11' as 'AWS_CLOUDHSM',
};

async function createStore(
  client: KMSClient,
  input: Partial<CreateCustomKeyStoreCommandInput> = {},
): Promise<string> {
  const { CustomKeyStoreId } = await client.send(new CreateCustomKeyStoreCommand({ ...STORE, ...input }));
  return CustomKeyStoreId ?? '';
}

async function describe(client: KMSClient, CustomKeyStoreId: string): Promise<CustomKeyStoresListEntry> {
  const { CustomKeyStores = [] } = await client.send(
    new DescribeCustomKeyStoresCommand({ CustomKeyStoreId }),
  );
  assert.equal(CustomKeyStores.length, 1);
  return CustomKeyStores[0] as CustomKeyStoresListEntry;
}

async function waitFor(
  client: KMSClient,
  CustomKeyStoreId: string,
  state: string,
): Promise<CustomKeyStoresListEntry> {
  for (let look = 0; look < 500; look++) {
    const found = await describe(client, CustomKeyStoreId);
    if (found.ConnectionState === state) return found;
    await delay(5);
  }
  return assert.fail(`${CustomKeyStoreId} did not become ${state}`);
}

async function connect(client: KMSClient, CustomKeyStoreId: string, state = 'CONNECTED'): Promise<void> {
  await client.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId }));
  await waitFor(client, CustomKeyStoreId, state);
}

async function disconnect(client: KMSClient, CustomKeyStoreId: string): Promise<void> {
  await client.send(new DisconnectCustomKeyStoreCommand({ CustomKeyStoreId }));
  await waitFor(client, CustomKeyStoreId, 'DISCONNECTED');
}

async function createKey(
  client: KMSClient,
  CustomKeyStoreId: string,
  input: CreateKeyCommandInput = {},
): Promise<string> {
  const { KeyMetadata } = await client.send(
    new CreateKeyCommand({ Origin: 'AWS_CLOUDHSM', CustomKeyStoreId, ...input }),
  );
  return KeyMetadata?.KeyId ?? '';
}

const arn = (keyId: string): string => `arn:aws:kms:${REGION}:${ACCOUNT}:key/${keyId}`;

test('a store is made, described, connected, renamed, disconnected and deleted', async (t) => {
  const { client, nowMs, token } = await start(t);
  const id = await createStore(client);
  assert.match(id, /^cks-[0-9a-f]{17}$/);
  assert.deepEqual(await describe(client, id), {
    CloudHsmClusterId: CLUSTER,
    ConnectionState: 'DISCONNECTED',
    CreationDate: new Date(nowMs),
    CustomKeyStoreId: id,
    CustomKeyStoreName: 'a store',
    CustomKeyStoreType: 'PKCS11',
  });
  assert.equal(token.logins, 0);
  await connect(client, id);
  await connect(client, id);
  assert.equal(token.logins, 1);
  await client.send(
    new UpdateCustomKeyStoreCommand({ CustomKeyStoreId: id, NewCustomKeyStoreName: 'another name' }),
  );
  const byName = await client.send(
    new DescribeCustomKeyStoresCommand({ CustomKeyStoreName: 'another name' }),
  );
  assert.deepEqual(
    byName.CustomKeyStores?.map((one) => one.CustomKeyStoreId),
    [id],
  );
  await disconnect(client, id);
  assert.equal(token.open, 0);
  await client.send(new DeleteCustomKeyStoreCommand({ CustomKeyStoreId: id }));
  await rejectsWith(describe(client, id), 'CustomKeyStoreNotFoundException');
  const { CustomKeyStores, Truncated } = await client.send(new DescribeCustomKeyStoresCommand({}));
  assert.deepEqual({ CustomKeyStores, Truncated }, { CustomKeyStores: [], Truncated: false });
});

test('requests that cannot be a store are refused', async (t) => {
  const { client, kms } = await start(t);
  const create = (input: Partial<CreateCustomKeyStoreCommandInput>) => createStore(client, input);
  await rejectsWith(
    create({ CustomKeyStoreType: 'AWS_CLOUDHSM' }),
    'ValidationException',
    'TrustAnchorCertificate is required for custom key stores of CustomKeyStoreType AWS_CLOUDHSM.',
  );
  await rejectsWith(
    create({ CustomKeyStoreType: 'AWS_CLOUDHSM', TrustAnchorCertificate: 'none' }),
    'IncorrectTrustAnchorException',
  );
  await rejectsWith(create({ CloudHsmClusterId: undefined }), 'ValidationException');
  await rejectsWith(create({ KeyStorePassword: undefined }), 'ValidationException');
  await rejectsWith(
    create({ KeyStorePassword: 'secret' }),
    'ValidationException',
    "1 validation error detected: Value at 'keyStorePassword' failed to satisfy constraint: Member must have length greater than or equal to 7",
  );
  await rejectsWith(create({ CustomKeyStoreName: '' }), 'ValidationException');
  await rejectsWith(create({ CloudHsmClusterId: 'cluster-short' }), 'ValidationException');
  await rejectsWith(
    create({ CloudHsmClusterId: 'cluster-unknownunknown' }),
    'CloudHsmClusterNotFoundException',
  );
  await rejectsWith(create({ CustomKeyStoreType: 'EXTERNAL_KEY_STORE' }), 'UnsupportedOperationException');
  await rejectsWith(
    create({ XksProxyUriEndpoint: 'https://xks.example.com' }),
    'UnsupportedOperationException',
  );
  const certificate = await createStore(client, {
    CustomKeyStoreType: 'AWS_CLOUDHSM',
    TrustAnchorCertificate: kms.ca,
  });
  const described = await describe(client, certificate);
  assert.equal(described.CustomKeyStoreType, 'AWS_CLOUDHSM');
  assert.equal(described.TrustAnchorCertificate, kms.ca);
  await rejectsWith(create({ CloudHsmClusterId: OTHER_CLUSTER }), 'CustomKeyStoreNameInUseException');
  await rejectsWith(create({ CustomKeyStoreName: 'b' }), 'CloudHsmClusterInUseException');
  await rejectsWith(
    createStore(kms.client('admin', 'us-west-2'), { CustomKeyStoreName: 'b' }),
    'CloudHsmClusterInUseException',
  );
  await rejectsWith(createStore(kms.client('foreigner')), 'CloudHsmClusterNotFoundException');
  await rejectsWith(createStore(kms.client('reader')), 'AccessDeniedException');
  await rejectsWith(
    client.send(
      new DescribeCustomKeyStoresCommand({ CustomKeyStoreId: certificate, CustomKeyStoreName: 'a store' }),
    ),
    'ValidationException',
  );
});

test('pages of stores', async (t) => {
  const { client } = await start(t);
  const ids = [
    await createStore(client),
    await createStore(client, { CustomKeyStoreName: 'b', CloudHsmClusterId: OTHER_CLUSTER }),
  ];
  const first = await client.send(new DescribeCustomKeyStoresCommand({ Limit: 1 }));
  assert.equal(first.Truncated, true);
  const second = await client.send(
    new DescribeCustomKeyStoresCommand({ Limit: 1, Marker: first.NextMarker }),
  );
  assert.equal(second.Truncated, false);
  const found = [...(first.CustomKeyStores ?? []), ...(second.CustomKeyStores ?? [])];
  assert.deepEqual(
    found.map((one) => one.CustomKeyStoreId),
    ids.toSorted(),
  );
});

test('each connection state lets through what AWS lets through', async (t) => {
  const { client, token, kms } = await start(t);
  const CustomKeyStoreId = await createStore(client);
  const send = {
    connect: () => client.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId })),
    disconnect: () => client.send(new DisconnectCustomKeyStoreCommand({ CustomKeyStoreId })),
    remove: () => client.send(new DeleteCustomKeyStoreCommand({ CustomKeyStoreId })),
    createKey: () => createKey(client, CustomKeyStoreId),
    setPassword: (KeyStorePassword: string) =>
      client.send(new UpdateCustomKeyStoreCommand({ CustomKeyStoreId, KeyStorePassword })),
  };
  await rejectsWith(send.disconnect(), 'CustomKeyStoreInvalidStateException');
  await rejectsWith(send.createKey(), 'CustomKeyStoreInvalidStateException');
  await rejectsWith(
    client.send(new GenerateRandomCommand({ NumberOfBytes: 8, CustomKeyStoreId })),
    'CustomKeyStoreInvalidStateException',
  );

  await send.setPassword('a wrong one');
  await connect(client, CustomKeyStoreId, 'FAILED');
  assert.equal((await describe(client, CustomKeyStoreId)).ConnectionErrorCode, 'INVALID_CREDENTIALS');
  assert.match(
    await kms.registry.metrics(),
    /^waxseal_kms_custom_key_stores\{state="CONNECTED"\} 0\nwaxseal_kms_custom_key_stores\{state="CONNECTING"\} 0\nwaxseal_kms_custom_key_stores\{state="FAILED"\} 1$/m,
  );
  await rejectsWith(send.connect(), 'CustomKeyStoreInvalidStateException');
  await rejectsWith(send.setPassword(PIN), 'CustomKeyStoreInvalidStateException');
  await rejectsWith(send.remove(), 'CustomKeyStoreInvalidStateException');
  assert.equal(token.logins, 1);
  await disconnect(client, CustomKeyStoreId);
  await send.setPassword(PIN);

  await connect(client, CustomKeyStoreId);
  await rejectsWith(send.setPassword(PIN), 'CustomKeyStoreInvalidStateException');
  await rejectsWith(send.remove(), 'CustomKeyStoreInvalidStateException');
  const random = await client.send(new GenerateRandomCommand({ NumberOfBytes: 8, CustomKeyStoreId }));
  assert.equal(random.Plaintext?.length, 8);
  await send.createKey();
  await disconnect(client, CustomKeyStoreId);
  await rejectsWith(send.remove(), 'CustomKeyStoreHasCMKsException');

  const unknown = { CustomKeyStoreId: 'cks-00000000000000000' };
  await rejectsWith(
    client.send(new ConnectCustomKeyStoreCommand(unknown)),
    'CustomKeyStoreNotFoundException',
  );
  await rejectsWith(
    client.send(new DisconnectCustomKeyStoreCommand(unknown)),
    'CustomKeyStoreNotFoundException',
  );
  await rejectsWith(client.send(new DeleteCustomKeyStoreCommand(unknown)), 'CustomKeyStoreNotFoundException');
  await rejectsWith(client.send(new UpdateCustomKeyStoreCommand(unknown)), 'CustomKeyStoreNotFoundException');
  await rejectsWith(createKey(client, unknown.CustomKeyStoreId), 'CustomKeyStoreNotFoundException');
});

test('failures of the token are told as AWS names them', async (t) => {
  const { client, token } = await start(t);
  const id = await createStore(client);
  for (const [failure, code] of [
    ['pin-locked', 'USER_LOCKED_OUT'],
    ['token-not-found', 'CLUSTER_NOT_FOUND'],
    ['timeout', 'NETWORK_ERRORS'],
    ['token-failed', 'INTERNAL_ERROR'],
  ] as const) {
    token.failure = failure;
    await connect(client, id, 'FAILED');
    assert.equal((await describe(client, id)).ConnectionErrorCode, code);
    await disconnect(client, id);
  }
});

test('a store that was connected connects by itself after a restart; a refused password is not tried again', async (t) => {
  const bench = await start(t);
  const { kms, token } = bench;
  const id = await createStore(bench.client);
  await connect(bench.client, id);
  const KeyId = await createKey(bench.client, id);
  await kms.restart();
  bench.client = kms.client();
  await bench.client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));

  token.pin = 'changed meanwhile';
  await kms.restart();
  bench.client = kms.client();
  await waitFor(bench.client, id, 'FAILED');
  const { logins } = token;
  await kms.restart();
  bench.client = kms.client();
  assert.equal((await waitFor(bench.client, id, 'FAILED')).ConnectionErrorCode, 'INVALID_CREDENTIALS');
  assert.equal(token.logins, logins);
  assert.equal(token.open, 0);
});

test('keys of a store work, and are described as AWS describes them', async (t) => {
  const { client, token, nowMs } = await start(t);
  const id = await createStore(client);
  await connect(client, id);
  const KeyId = await createKey(client, id, { Description: 'in the token' });
  const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId }));
  const metadata = {
    AWSAccountId: ACCOUNT,
    Arn: arn(KeyId),
    CloudHsmClusterId: CLUSTER,
    CreationDate: new Date(nowMs),
    CustomKeyStoreId: id,
    CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
    Description: 'in the token',
    Enabled: true,
    EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
    KeyId,
    KeyManager: 'CUSTOMER',
    KeySpec: 'SYMMETRIC_DEFAULT',
    KeyState: 'Enabled',
    KeyUsage: 'ENCRYPT_DECRYPT',
    MultiRegion: false,
    Origin: 'AWS_CLOUDHSM',
  };
  assert.deepEqual(KeyMetadata, metadata);
  assert.deepEqual([...token.keys.keys()], [arn(KeyId)]);

  const EncryptionContext = { a: 'bc' };
  const Plaintext = Buffer.from('a message');
  const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext, EncryptionContext }));
  const decrypted = await client.send(new DecryptCommand({ CiphertextBlob, EncryptionContext }));
  assert.deepEqual(Buffer.from(decrypted.Plaintext ?? []), Plaintext);
  assert.equal(decrypted.KeyId, arn(KeyId));
  assert.match(decrypted.KeyMaterialId ?? '', /^[0-9a-f]{64}$/);
  for (const wrong of [{ ab: 'c' }, { a: 'bd' }, {}]) {
    await rejectsWith(
      client.send(new DecryptCommand({ CiphertextBlob, EncryptionContext: wrong })),
      'InvalidCiphertextException',
    );
  }
  const blob = Buffer.from(CiphertextBlob ?? []);
  assert.equal(blob[0], 2);
  assert.equal(blob.length, Plaintext.length + 83);
  for (const at of [55, 66, 67, blob.length - 1]) {
    const flipped = Buffer.from(blob);
    flipped[at] = (flipped[at] as number) ^ 1;
    await rejectsWith(
      client.send(new DecryptCommand({ CiphertextBlob: flipped, EncryptionContext })),
      'InvalidCiphertextException',
    );
  }

  const dataKey = await client.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' }));
  assert.equal(dataKey.Plaintext?.length, 32);
  assert.equal(dataKey.KeyMaterialId, decrypted.KeyMaterialId);
  const opened = await client.send(new DecryptCommand({ CiphertextBlob: dataKey.CiphertextBlob }));
  assert.deepEqual(opened.Plaintext, dataKey.Plaintext);
  const sealed = await client.send(new GenerateDataKeyWithoutPlaintextCommand({ KeyId, NumberOfBytes: 7 }));
  assert.equal((await client.send(new DecryptCommand(sealed))).Plaintext?.length, 7);
  const pair = await client.send(
    new GenerateDataKeyPairWithoutPlaintextCommand({ KeyId, KeyPairSpec: 'ECC_NIST_P256' }),
  );
  const privateKey = await client.send(new DecryptCommand({ CiphertextBlob: pair.PrivateKeyCiphertextBlob }));
  assert.notEqual(privateKey.Plaintext?.length ?? 0, 0);

  const ordinary = await client.send(new CreateKeyCommand({}));
  const DestinationKeyId = ordinary.KeyMetadata?.KeyId;
  const out = await client.send(
    new ReEncryptCommand({ CiphertextBlob, SourceEncryptionContext: EncryptionContext, DestinationKeyId }),
  );
  const back = await client.send(
    new ReEncryptCommand({ CiphertextBlob: out.CiphertextBlob, DestinationKeyId: KeyId }),
  );
  const again = await client.send(new DecryptCommand({ CiphertextBlob: back.CiphertextBlob, KeyId }));
  assert.deepEqual(Buffer.from(again.Plaintext ?? []), Plaintext);
});

test('what keys of a store cannot be or do is refused', async (t) => {
  const { client } = await start(t);
  const id = await createStore(client);
  await connect(client, id);
  await rejectsWith(createKey(client, id, { Origin: 'AWS_KMS' }), 'ValidationException');
  await rejectsWith(
    client.send(new CreateKeyCommand({ Origin: 'AWS_CLOUDHSM' })),
    'ValidationException',
    'CustomKeyStoreId is required with Origin AWS_CLOUDHSM.',
  );
  await rejectsWith(
    createKey(client, id, { KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' }),
    'UnsupportedOperationException',
  );
  await rejectsWith(createKey(client, id, { MultiRegion: true }), 'UnsupportedOperationException');
  await rejectsWith(
    createKey(client, id, { Origin: 'EXTERNAL_KEY_STORE', XksKeyId: 'a' }),
    'UnsupportedOperationException',
  );
  const KeyId = await createKey(client, id);
  const text = `${arn(KeyId)} origin is AWS_CLOUDHSM which is not valid for this operation.`;
  await rejectsWith(
    client.send(new EnableKeyRotationCommand({ KeyId })),
    'UnsupportedOperationException',
    text,
  );
  await rejectsWith(
    client.send(new RotateKeyOnDemandCommand({ KeyId })),
    'UnsupportedOperationException',
    text,
  );
  await rejectsWith(
    client.send(new GetKeyRotationStatusCommand({ KeyId })),
    'UnsupportedOperationException',
    text,
  );
  await rejectsWith(
    client.send(new ListKeyRotationsCommand({ KeyId })),
    'UnsupportedOperationException',
    text,
  );
  await rejectsWith(
    client.send(
      new GetParametersForImportCommand({
        KeyId,
        WrappingAlgorithm: 'RSAES_OAEP_SHA_256',
        WrappingKeySpec: 'RSA_2048',
      }),
    ),
    'UnsupportedOperationException',
  );
  await rejectsWith(
    client.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'us-west-2' })),
    'UnsupportedOperationException',
  );
});

test('keys of a store that is not connected are Unavailable; other keys go on', async (t) => {
  const { client } = await start(t);
  const id = await createStore(client);
  await connect(client, id);
  const KeyId = await createKey(client, id);
  const Plaintext = Buffer.from('x');
  const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext }));
  await disconnect(client, id);
  const state = async () => (await client.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata;
  assert.equal((await state())?.KeyState, 'Unavailable');
  assert.equal((await state())?.Enabled, false);
  const text = `${arn(KeyId)} is unavailable.`;
  for (const call of [
    () => client.send(new EncryptCommand({ KeyId, Plaintext })),
    () => client.send(new EncryptCommand({ KeyId, Plaintext, DryRun: true })),
    () => client.send(new DecryptCommand({ CiphertextBlob })),
    () => client.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_128' })),
    () => client.send(new ReEncryptCommand({ CiphertextBlob, DestinationKeyId: KeyId })),
  ]) {
    await rejectsWith(call(), 'KMSInvalidStateException', text);
  }
  await client.send(new CreateAliasCommand({ AliasName: 'alias/a', TargetKeyId: KeyId }));
  await client.send(new DisableKeyCommand({ KeyId }));
  assert.equal((await state())?.KeyState, 'Unavailable');
  const other = await client.send(new CreateKeyCommand({}));
  await client.send(new EncryptCommand({ KeyId: other.KeyMetadata?.KeyId, Plaintext }));
  await connect(client, id);
  assert.equal((await state())?.KeyState, 'Disabled');
  await client.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  await disconnect(client, id);
  assert.equal((await state())?.KeyState, 'PendingDeletion');
});

test('a token that is away, slow or emptied is an error of the call, and nothing else', async (t) => {
  const { client, token } = await start(t);
  const id = await createStore(client);
  await connect(client, id);
  const KeyId = await createKey(client, id);
  const encrypt = () => client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
  token.failure = 'token-gone';
  await rejectsWith(encrypt(), 'KMSInternalException');
  await rejectsWith(createKey(client, id), 'KMSInternalException');
  token.failure = 'timeout';
  await rejectsWith(encrypt(), 'DependencyTimeoutException');
  token.failure = undefined;
  await encrypt();
  token.keys.clear();
  await rejectsWith(
    encrypt(),
    'KMSInvalidStateException',
    `${arn(KeyId)} is unavailable: its key material cannot be used in token ${CLUSTER} of custom key store ${id}.`,
  );
  token.failure = 'pin-incorrect';
  await rejectsWith(encrypt(), 'KMSInvalidStateException', `${arn(KeyId)} is unavailable.`);
  assert.equal((await waitFor(client, id, 'FAILED')).ConnectionErrorCode, 'INVALID_CREDENTIALS');
  assert.equal(token.open, 0);
});

test('a key is destroyed in its token at its date, or when the token is there again', async (t) => {
  const bench = await start(t);
  const { token, kms } = bench;
  const id = await createStore(bench.client);
  await connect(bench.client, id);
  const [first, second] = [await createKey(bench.client, id), await createKey(bench.client, id)];
  const deleteIt = (KeyId: string) =>
    bench.client.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  const gone = (KeyId: string) =>
    rejectsWith(bench.client.send(new DescribeKeyCommand({ KeyId })), 'NotFoundException');
  await deleteIt(first);
  await deleteIt(second);
  bench.nowMs += 8 * DAY_MS;
  bench.client = kms.client();
  await gone(first);
  assert.deepEqual([...token.keys.keys()], [arn(second)]);

  await disconnect(bench.client, id);
  await gone(second);
  await kms.restart();
  bench.client = kms.client();
  assert.deepEqual([...token.keys.keys()], [arn(second)]);
  await connect(bench.client, id);
  for (let look = 0; look < 500 && token.keys.size > 0; look++) await delay(5);
  assert.equal(token.keys.size, 0);
  const events = await recordsOf(kms, ACCOUNT);
  const told = events.filter(({ eventName }) => eventName === 'DeleteKey' || eventName === 'CreateKey');
  const backingKeys = told.slice(0, 2).map(({ additionalEventData }) => {
    const { backingKey } = additionalEventData as { backingKey: string };
    return JSON.parse(backingKey) as { backingKeyId: string };
  });
  const deletion = (backingKey: { backingKeyId: string } | undefined, deletionStatus: string) => ({
    customKeyStoreId: id,
    clusterId: CLUSTER,
    backingKeys: JSON.stringify([backingKey]),
    backingKeysDeletionStatus: JSON.stringify([{ ...backingKey, deletionStatus }]),
  });
  assert.deepEqual(
    told.slice(2).map(({ additionalEventData }) => additionalEventData),
    [deletion(backingKeys[0], 'SUCCESS'), deletion(backingKeys[1], 'FAILURE')],
  );
});

test('a key that was made in the token and nowhere else is removed', async (t) => {
  const store = createMemoryStore();
  const token = createFakeToken();
  let nowMs = Date.now();
  const kms = await startTestService({
    store,
    now: () => nowMs,
    tokens: [fakeTokenConfig()],
    openToken: token.openToken,
  });
  t.after(() => kms.close());
  const id = await createStore(kms.client());
  await connect(kms.client(), id);
  const txn = store.txn.bind(store);
  // The second write of a creation is the key's record.
  store.txn = (request) =>
    request.success.some((op) => op.kind === 'put' && op.key.toString().includes('/records/keys/'))
      ? Promise.reject(new Error('the process dies here'))
      : txn(request);
  await rejectsWith(createKey(kms.client(), id), 'KMSInternalException');
  store.txn = txn;
  assert.equal(token.keys.size, 1);
  await kms.restart();
  await waitFor(kms.client(), id, 'CONNECTED');
  assert.equal(token.keys.size, 1);
  await disconnect(kms.client(), id);
  const remove = () => kms.client().send(new DeleteCustomKeyStoreCommand({ CustomKeyStoreId: id }));
  await rejectsWith(remove(), 'CustomKeyStoreHasCMKsException');
  await connect(kms.client(), id);
  nowMs += 3_600_000;
  await kms.restart();
  for (let look = 0; look < 500 && token.keys.size > 0; look++) await delay(5);
  assert.equal(token.keys.size, 0);
});

test('the password is in no answer, log, audit record or record of the store', async (t) => {
  const store = createMemoryStore();
  const token = createFakeToken();
  token.pin = 'marker-of-this-password';
  const kms = await startTestService({
    store,
    tokens: [fakeTokenConfig()],
    openToken: token.openToken,
  });
  t.after(() => kms.close());
  const client = kms.client();
  const id = await createStore(client, { KeyStorePassword: token.pin });
  await connect(client, id);
  await disconnect(client, id);
  await client.send(new UpdateCustomKeyStoreCommand({ CustomKeyStoreId: id, KeyStorePassword: token.pin }));
  await rejectsWith(
    client.send(
      new UpdateCustomKeyStoreCommand({ CustomKeyStoreId: id, KeyStorePassword: token.pin.repeat(3) }),
    ),
    'ValidationException',
  );
  const { kvs } = await store.range({ key: Buffer.from('/'), rangeEnd: Buffer.from('0') });
  const files = await readdir(kms.dataDir, { recursive: true, withFileTypes: true });
  const texts = await Promise.all(
    files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name), 'latin1')),
  );
  const everything = [kms.log(), ...texts, ...kvs.map(({ value }) => value.toString('latin1'))].join('\n');
  assert.ok(everything.includes(id));
  assert.ok(!everything.includes('marker-of-this-password'));
  const records = everything
    .split('\n')
    .filter((line) => line.includes('"eventName":"CreateCustomKeyStore"'));
  assert.equal(records.length, 1);
  const record = JSON.parse(records[0] ?? '{}') as Record<string, unknown>;
  assert.deepEqual(record['requestParameters'], {
    customKeyStoreName: 'a store',
    clusterId: CLUSTER,
    customKeyStoreType: 'PKCS11',
  });
  assert.deepEqual(record['responseElements'], { customKeyStoreId: id });
  const connected = everything
    .split('\n')
    .filter((line) => line.includes('"eventName":"ConnectCustomKeyStore"'));
  const { requestParameters, responseElements, additionalEventData } = JSON.parse(
    connected[0] ?? '{}',
  ) as Record<string, unknown>;
  assert.deepEqual(
    { requestParameters, responseElements, additionalEventData },
    {
      requestParameters: { customKeyStoreId: id },
      responseElements: null,
      additionalEventData: { customKeyStoreName: 'a store', clusterId: CLUSTER },
    },
  );
});
