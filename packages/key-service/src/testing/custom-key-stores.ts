/** A key service over a fake token, and the calls that tests of custom key stores begin with. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import {
  ConnectCustomKeyStoreCommand,
  CreateCustomKeyStoreCommand,
  type CreateCustomKeyStoreCommandInput,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  type CustomKeyStoresListEntry,
  DescribeCustomKeyStoresCommand,
  DisconnectCustomKeyStoreCommand,
  type KMSClient,
} from '@aws-sdk/client-kms';
import {
  CLUSTER,
  createFakeToken,
  type FakeToken,
  fakeTokenConfig,
  OTHER_CLUSTER,
  PIN,
} from './fake-token.js';
import { ACCOUNT, REGION, startTestService, type TestService } from './harness.js';

export interface CustomKeyStoreBench {
  readonly kms: TestService;
  client: KMSClient;
  readonly token: FakeToken;
  /** What the service takes for now. */
  nowMs: number;
}

/** Closed when the test ends; the file of tokens names two clusters. */
export async function startBench(t: TestContext): Promise<CustomKeyStoreBench> {
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

/** @returns its id */
export async function createStore(
  client: KMSClient,
  input: Partial<CreateCustomKeyStoreCommandInput> = {},
): Promise<string> {
  const { CustomKeyStoreId } = await client.send(new CreateCustomKeyStoreCommand({ ...STORE, ...input }));
  return CustomKeyStoreId ?? '';
}

export async function describe(
  client: KMSClient,
  CustomKeyStoreId: string,
): Promise<CustomKeyStoresListEntry> {
  const { CustomKeyStores = [] } = await client.send(
    new DescribeCustomKeyStoresCommand({ CustomKeyStoreId }),
  );
  assert.equal(CustomKeyStores.length, 1);
  return CustomKeyStores[0] as CustomKeyStoresListEntry;
}

/** Fails when the store is not in the state within some seconds. */
export async function waitFor(
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

export async function connect(
  client: KMSClient,
  CustomKeyStoreId: string,
  state = 'CONNECTED',
): Promise<void> {
  await client.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId }));
  await waitFor(client, CustomKeyStoreId, state);
}

export async function disconnect(client: KMSClient, CustomKeyStoreId: string): Promise<void> {
  await client.send(new DisconnectCustomKeyStoreCommand({ CustomKeyStoreId }));
  await waitFor(client, CustomKeyStoreId, 'DISCONNECTED');
}

/** @returns its id */
export async function createKey(
  client: KMSClient,
  CustomKeyStoreId: string,
  input: CreateKeyCommandInput = {},
): Promise<string> {
  const { KeyMetadata } = await client.send(
    new CreateKeyCommand({ Origin: 'AWS_CLOUDHSM', CustomKeyStoreId, ...input }),
  );
  return KeyMetadata?.KeyId ?? '';
}

export const arn = (keyId: string): string => `arn:aws:kms:${REGION}:${ACCOUNT}:key/${keyId}`;
