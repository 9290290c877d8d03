// Goal: keys of a custom key store work, and fail, as AWS's do. Method: the real SDK, over a token that fails as told.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DeleteCustomKeyStoreCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyPairWithoutPlaintextCommand,
  GenerateDataKeyWithoutPlaintextCommand,
  GetKeyRotationStatusCommand,
  GetParametersForImportCommand,
  ListKeyRotationsCommand,
  ReEncryptCommand,
  ReplicateKeyCommand,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import { recordsOf } from '../testing/audit-records.js';
import {
  arn,
  connect,
  createKey,
  createStore,
  disconnect,
  startBench,
  waitFor,
} from '../testing/custom-key-stores.js';
import { CLUSTER, createFakeToken, fakeTokenConfig } from '../testing/fake-token.js';
import { ACCOUNT, startTestService } from '../testing/harness.js';
import { createMemoryStore } from '../testing/memory-store.js';
import { rejectsWith } from '../testing/rejects.js';

const DAY_MS = 86_400_000;

test('keys of a store work, and are described as AWS describes them', async (t) => {
  const { client, token, nowMs } = await startBench(t);
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
  const { client } = await startBench(t);
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
  const { client } = await startBench(t);
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
  const { client, token } = await startBench(t);
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
  const bench = await startBench(t);
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
