// Goal: custom key stores have AWS's members, states and errors. Method: the real SDK, over a token that fails as told.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  ConnectCustomKeyStoreCommand,
  type CreateCustomKeyStoreCommandInput,
  DeleteCustomKeyStoreCommand,
  DescribeCustomKeyStoresCommand,
  DisconnectCustomKeyStoreCommand,
  EncryptCommand,
  GenerateRandomCommand,
  UpdateCustomKeyStoreCommand,
} from '@aws-sdk/client-kms';
import {
  connect,
  createKey,
  createStore,
  describe,
  disconnect,
  startBench,
  waitFor,
} from '../testing/custom-key-stores.js';
import { CLUSTER, createFakeToken, fakeTokenConfig, OTHER_CLUSTER, PIN } from '../testing/fake-token.js';
import { startTestService } from '../testing/harness.js';
import { createMemoryStore } from '../testing/memory-store.js';
import { rejectsWith } from '../testing/rejects.js';

test('a store is made, described, connected, renamed, disconnected and deleted', async (t) => {
  const { client, nowMs, token } = await startBench(t);
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
  const { client, kms } = await startBench(t);
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
  const { client } = await startBench(t);
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
  const { client, token, kms } = await startBench(t);
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
  const { client, token } = await startBench(t);
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
  const bench = await startBench(t);
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
