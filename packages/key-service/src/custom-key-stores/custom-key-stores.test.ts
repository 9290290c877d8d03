// Goal: every process follows what the store says shall be connected, and finds a token that comes back. Method: two over one store.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { KeyStore } from '../keys/key-store.js';
import { MaterialVault } from '../keys/material-vault.js';
import { CLUSTER, createFakeToken, type FakeToken, fakeTokenConfig, PIN } from '../testing/fake-token.js';
import { ACCOUNT, REGION } from '../testing/harness.js';
import { createMemoryStore, type MemoryStore } from '../testing/memory-store.js';
import { CustomKeyStores } from './custom-key-stores.js';
import type { CustomKeyStoreRecord } from './record.js';

const logger = pino({ level: 'silent' });
const NAME = { accountId: ACCOUNT, region: REGION, customKeyStoreId: 'cks-1234567890abcdef0' };

async function openReplica(
  t: TestContext,
  store: MemoryStore,
  rootKey: Buffer,
  { openToken }: FakeToken,
): Promise<CustomKeyStores> {
  const keys = await KeyStore.open(store, logger, () => undefined);
  const vault = new MaterialVault(Buffer.from(rootKey), randomBytes);
  const tokens = [fakeTokenConfig()];
  const stores = new CustomKeyStores({ keys, vault, tokens, openToken, logger, retryIntervalMs: 5 });
  await stores.start();
  t.after(async () => {
    await stores.close();
    keys.close();
  });
  return stores;
}

async function openReplicas(t: TestContext) {
  const store = createMemoryStore();
  const rootKey = randomBytes(32);
  const tokens = [createFakeToken(), createFakeToken()] as const;
  const here = await openReplica(t, store, rootKey, tokens[0]);
  const there = await openReplica(t, store, rootKey, tokens[1]);
  const record: CustomKeyStoreRecord = {
    ...NAME,
    name: 'a store',
    type: 'PKCS11',
    creationDateMs: 0,
    clusterId: CLUSTER,
    sealedPassword: here.sealPassword(NAME, Buffer.from(PIN)),
  };
  await here.update((records) => [...records, record]);
  const set = (connectRequest: string) =>
    here.update((records) => records.map((one) => ({ ...one, connectRequest })));
  return { here, there, tokens, record, set };
}

const stateOf = (stores: CustomKeyStores): string => {
  const found = stores.find(NAME);
  return found === undefined ? 'unknown' : stores.stateOf(found).kind;
};

async function waitFor(stores: CustomKeyStores, state: string): Promise<void> {
  for (let look = 0; look < 500 && stateOf(stores) !== state; look++) await delay(5);
  assert.equal(stateOf(stores), state);
}

test('what one replica connects and disconnects, the other does too', async (t) => {
  const { here, there, tokens, record, set } = await openReplicas(t);
  await set('1');
  await waitFor(here, 'CONNECTED');
  await waitFor(there, 'CONNECTED');
  await here.update(() => [record]);
  await waitFor(here, 'DISCONNECTED');
  await waitFor(there, 'DISCONNECTED');
  assert.deepEqual(
    tokens.map(({ open }) => open),
    [0, 0],
  );
});

test('a replica whose token is away connects when it is there; the other is not disturbed', async (t) => {
  const { here, there, tokens, set } = await openReplicas(t);
  tokens[1].failure = 'token-not-found';
  await set('1');
  await waitFor(here, 'CONNECTED');
  await waitFor(there, 'FAILED');
  tokens[1].failure = undefined;
  await waitFor(there, 'CONNECTED');
  assert.equal(tokens[0].logins, 1);
});

test('a refused password is noted for all, and not tried again', async (t) => {
  const { here, tokens, set } = await openReplicas(t);
  tokens[0].pin = 'another';
  await set('1');
  await waitFor(here, 'FAILED');
  for (let look = 0; look < 500 && here.find(NAME)?.refused === undefined; look++) await delay(5);
  assert.deepEqual(here.find(NAME)?.refused, { connectRequest: '1', errorCode: 'INVALID_CREDENTIALS' });
  await delay(30);
  assert.equal(tokens[0].logins, 1);
});

test('a disconnect while the login is under way leaves no login behind', async (t) => {
  const { here, tokens, record, set } = await openReplicas(t);
  const connecting = set('1');
  const disconnecting = connecting.then(() => here.update(() => [record]));
  await disconnecting;
  await waitFor(here, 'DISCONNECTED');
  for (let look = 0; look < 500 && tokens[0].open > 0; look++) await delay(5);
  assert.equal(tokens[0].open, 0);
});
