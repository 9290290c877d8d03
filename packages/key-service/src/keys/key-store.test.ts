// Goal: the memory the hot path reads stays true whoever writes: this process, another replica, and across a lost watch.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { pino } from 'pino';
import { createMemoryStore } from '../testing/memory-store.js';
import { createKeyId } from './key-id.js';
import type { KeyRecord } from './key-record.js';
import { KeyStore } from './key-store.js';

const ACCOUNT = '111122223333';
const REGION = 'us-east-1';
const logger = pino({ level: 'silent' });

function newKey(): KeyRecord {
  return {
    accountId: ACCOUNT,
    region: REGION,
    keyId: createKeyId(randomBytes),
    creationDateMs: 0,
    description: '',
    keySpec: 'SYMMETRIC_DEFAULT',
    keyUsage: 'ENCRYPT_DECRYPT',
    origin: 'AWS_KMS',
    state: { kind: 'Enabled' },
    policy: '{}',
    tags: [],
    materials: [{ materialId: 'ab'.repeat(32), sealed: '' }],
  };
}

async function openReplicas(t: TestContext) {
  const store = createMemoryStore();
  const gone: string[] = [];
  const here = await KeyStore.open(store, logger, () => undefined);
  const there = await KeyStore.open(store, logger, ({ keyId }) => gone.push(keyId));
  t.after(() => {
    here.close();
    there.close();
  });
  const find = (keys: KeyStore, { keyId }: KeyRecord): KeyRecord | undefined =>
    keys.findKey(ACCOUNT, REGION, keyId);
  return { store, here, there, gone, find };
}

/** Lets watch events, which the store sends by setImmediate, arrive. */
const watched = (): Promise<void> => setTimeout(5);

test('what one replica writes the other reads', async (t) => {
  const { here, there, gone, find } = await openReplicas(t);
  const key = newKey();
  assert.equal(await here.createKey(key), true);
  assert.equal(await there.createKey(key), false);
  await watched();
  assert.deepEqual(find(there, key), key);
  await there.updateKey(key, (record) => ({ ...record, description: 'theirs' }));
  await watched();
  assert.equal(find(here, key)?.description, 'theirs');
  await here.destroyKey(key);
  assert.equal(find(here, key), undefined);
  await watched();
  assert.equal(find(there, key), undefined);
  assert.deepEqual(gone, [key.keyId]);
  assert.deepEqual(here.keyIds(ACCOUNT, REGION).after(undefined, 10), []);
});

test('of two replicas that change one key at once neither loses its change', async (t) => {
  const { here, there, find } = await openReplicas(t);
  const key = newKey();
  await here.createKey(key);
  await watched();
  const add = (keys: KeyStore, TagKey: string): Promise<KeyRecord> =>
    keys.updateKey(key, (record) => ({ ...record, tags: [...record.tags, { TagKey, TagValue: '' }] }));
  await Promise.all([add(here, 'a'), add(there, 'b'), add(here, 'c')]);
  await watched();
  for (const keys of [here, there]) {
    assert.deepEqual(
      find(keys, key)
        ?.tags.map(({ TagKey }) => TagKey)
        .toSorted(),
      ['a', 'b', 'c'],
    );
  }
});

test('a change that gives up writes nothing', async (t) => {
  const { store, here } = await openReplicas(t);
  const key = newKey();
  await here.createKey(key);
  const before = store.values().map(String);
  await assert.rejects(
    here.updateKey(key, () => {
      throw new Error('no');
    }),
    /no/,
  );
  assert.equal((await here.updateKey(key, (record) => record)).keyId, key.keyId);
  assert.deepEqual(store.values().map(String), before);
});

test('a lost watch is followed by a fresh load', async (t) => {
  const { store, here, there, find } = await openReplicas(t);
  const [kept, dropped, added] = [newKey(), newKey(), newKey()] as const;
  await here.createKey(kept);
  await here.createKey(dropped);
  await watched();
  store.loseWatches();
  await here.destroyKey(dropped);
  await here.createKey(added);
  // The reload waits a second, so that a store in trouble is not pressed.
  for (let i = 0; i < 100 && find(there, added) === undefined; i++) await setTimeout(50);
  assert.ok(find(there, added));
  assert.ok(find(there, kept));
  assert.equal(find(there, dropped), undefined);
});

test('destroying a key compacts the history that held it', async (t) => {
  const { store, here } = await openReplicas(t);
  const key = newKey();
  await here.createKey(key);
  await here.createAlias({
    accountId: ACCOUNT,
    region: REGION,
    aliasName: 'alias/a',
    targetKeyId: key.keyId,
    creationDateMs: 0,
    lastUpdatedDateMs: 0,
  });
  await here.destroyKey(key);
  assert.deepEqual(store.values(), []);
  assert.deepEqual(store.compactions, [3]);
  assert.equal(here.findAlias(ACCOUNT, REGION, 'alias/a'), undefined);
});

test('names come in pages, in order', async (t) => {
  const { here } = await openReplicas(t);
  const keys = Array.from({ length: 50 }, newKey);
  for (const key of keys) await here.createKey(key);
  const ids = here.keyIds(ACCOUNT, REGION);
  const seen: string[] = [];
  for (let page = ids.after(undefined, 7); page.length > 0; page = ids.after(seen.at(-1), 7))
    seen.push(...page);
  assert.deepEqual(seen, keys.map(({ keyId }) => keyId).toSorted());
});
