// Goal: a backup brings back every key, and nothing but the backup, under its root key, into an empty store. Method: a whole
// service backed up and restored beside itself; every truncation and flipped bits of the file.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { assert as assertProperty, asyncProperty, integer, nat } from 'fast-check';
import { KeyServiceError } from '../errors.js';
import { ALL_PREFIX, KEYS_PREFIX } from '../keys/store-keys.js';
import { createFileProtector } from '../root-key/file-protector.js';
import { openRootKey } from '../root-key/root-key.js';
import { createMemoryStore, type MemoryStore } from '../testing/memory-store.js';
import { createBackup, restoreBackup } from './backup.js';

const protector = (rootKey: Buffer) => ({
  kind: 'test',
  seal: async () => Buffer.from('test'),
  open: async () => Buffer.from(rootKey),
});

/** A store with 2,500 records of many sizes, three pages and several chunks. */
async function filledStore(rootKey: Buffer): Promise<MemoryStore> {
  const store = createMemoryStore();
  await openRootKey(
    store,
    [{ ...protector(rootKey), prepared: async () => Buffer.from(rootKey) }],
    randomBytes,
  );
  for (let i = 0; i < 2500; i++) {
    await store.txn({
      compare: [],
      success: [
        { kind: 'put', key: Buffer.concat([KEYS_PREFIX, Buffer.from(`k${i}`)]), value: randomBytes(i % 200) },
      ],
      failure: [],
    });
  }
  return store;
}

const contents = async (store: MemoryStore): Promise<string[]> =>
  (await store.range({ key: ALL_PREFIX, rangeEnd: Buffer.from([0xff]) })).kvs.map(
    ({ key, value }) => `${key.toString()}=${value.toString('hex')}`,
  );

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof KeyServiceError, String(error));
  return `${error.code}: ${error.message}`;
}

test('what is restored is what was backed up', async () => {
  const rootKey = randomBytes(32);
  const store = await filledStore(rootKey);
  const backup = await createBackup(store, rootKey, 1000, randomBytes);
  assert.equal(backup.records, 2501);
  const target = createMemoryStore();
  const summary = await restoreBackup(target, backup.file, [protector(rootKey)]);
  assert.deepEqual(summary, { records: 2501, revision: backup.revision, createdAtMs: 1000 });
  assert.deepEqual(await contents(target), await contents(store));
  assert.equal(backup.file.includes('records/keys'), false);
});

test('a restore under another root key, or into a store that is not empty, is refused with its reason', async () => {
  const rootKey = randomBytes(32);
  const store = await filledStore(rootKey);
  const { file } = await createBackup(store, rootKey, 0, randomBytes);
  const target = createMemoryStore();
  assert.match(
    await reasonOf(restoreBackup(target, file, [protector(randomBytes(32))])),
    /restore-refused: The backup was made under another root key/,
  );
  assert.deepEqual(await contents(target), []);
  assert.match(
    await reasonOf(restoreBackup(store, file, [protector(rootKey)])),
    /restore-refused: .* Restore into an empty one/,
  );
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-backup-'));
  const fileProtector = createFileProtector(join(folder, 'root.key'));
  assert.match(await reasonOf(restoreBackup(target, file, [fileProtector])), /restore-refused/);
  await rm(folder, { recursive: true });
  await assert.rejects(createBackup(createMemoryStore(), rootKey, 0, randomBytes), {
    code: 'root-key-missing',
  });
});

test('a truncated or altered file is refused, and nothing of it is written', async () => {
  const rootKey = randomBytes(32);
  const { file } = await createBackup(await filledStore(rootKey), rootKey, 0, randomBytes);
  const target = createMemoryStore();
  const seed = Date.now() & 0x7fffffff;
  await assertProperty(
    asyncProperty(nat(file.length - 1), integer({ min: 0, max: 8 }), async (at, bit) => {
      const changed = bit === 8 ? file.subarray(0, at) : Buffer.from(file);
      if (bit < 8) changed[at] = (changed[at] as number) ^ (1 << bit);
      const reason = await reasonOf(restoreBackup(target, changed, [protector(rootKey)]));
      return reason.startsWith('backup-damaged:') && (await contents(target)).length === 0;
    }),
    { seed, numRuns: 60, verbose: 1 },
  );
  console.log(`seed ${seed}`);
});
