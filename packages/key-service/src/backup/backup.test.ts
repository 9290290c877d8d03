// Goal: a backup brings back every key, and nothing but the backup, under its root key, into an empty store. Method: a whole
// service backed up and restored beside itself; every truncation and flipped bits of the file.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { StoreError } from '@waxseal/storage';
import { assert as assertProperty, asyncProperty, integer, nat } from 'fast-check';
import { KeyServiceError } from '../errors.js';
import { ALL_PREFIX, KEYS_PREFIX, RESTORE_UNDER_WAY } from '../keys/store-keys.js';
import { createFileProtector } from '../root-key/file-protector.js';
import { openRootKey } from '../root-key/root-key.js';
import { createMemoryStore, type MemoryStore } from '../testing/memory-store.js';
import type { RootKeyProtector } from '../root-key/protector.js';
import { type Backup, createBackup, restoreBackup } from './backup.js';

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

/** The file whole. */
async function backUp(store: MemoryStore, rootKey: Buffer, nowMs = 0): Promise<Backup & { whole: Buffer }> {
  const backup = await createBackup(store, rootKey, nowMs, randomBytes);
  const chunks: Buffer[] = [];
  for await (const chunk of backup.file) chunks.push(chunk);
  assert.ok(chunks.every(({ length }) => length < 70_000));
  return { ...backup, whole: Buffer.concat(chunks) };
}

/** As from a disk that gives so many bytes at a time. */
const inPieces = (file: Buffer, size: number) =>
  async function* (): AsyncGenerator<Buffer, void> {
    for (let at = 0; at < file.length; at += size) yield file.subarray(at, at + size);
  };

const restore = (store: MemoryStore, file: Buffer, protectors: readonly RootKeyProtector[]) =>
  restoreBackup(store, inPieces(file, 65_536), protectors);

test('what is restored is what was backed up, however the file is cut up', async () => {
  const rootKey = randomBytes(32);
  const store = await filledStore(rootKey);
  const backup = await backUp(store, rootKey, 1000);
  assert.equal(backup.records, 2501);
  for (const size of [7, 1000, 65_536, backup.whole.length]) {
    const target = createMemoryStore();
    const summary = await restoreBackup(target, inPieces(backup.whole, size), [protector(rootKey)]);
    assert.deepEqual(summary, { records: 2501, revision: backup.revision, createdAtMs: 1000 });
    assert.deepEqual(await contents(target), await contents(store));
  }
  assert.equal(backup.whole.includes('records/keys'), false);
});

test('a restore that fails, is aborted or is killed leaves no half', async () => {
  const rootKey = randomBytes(32);
  const store = await filledStore(rootKey);
  const { whole } = await backUp(store, rootKey);
  const protectors = [{ ...protector(rootKey), prepared: async () => Buffer.from(rootKey) }] as const;

  const aborted = createMemoryStore();
  const controller = new AbortController();
  let pieces = 0;
  const abortLater = async function* (): AsyncGenerator<Buffer, void> {
    for await (const piece of inPieces(whole, 65_536)()) {
      if (++pieces === Math.ceil(whole.length / 65_536) + 2) controller.abort(new Error('interrupted'));
      yield piece;
    }
  };
  await assert.rejects(restoreBackup(aborted, abortLater, protectors, controller.signal), /interrupted/);
  assert.deepEqual(await contents(aborted), []);
  assert.equal((await aborted.get(RESTORE_UNDER_WAY)).kv, undefined);

  // Killed: after some transactions no more come, also not those that would clear it away.
  const killed = createMemoryStore();
  let left = 10;
  const dying: MemoryStore = {
    ...killed,
    txn: async (request) => {
      if (left-- <= 0) throw new StoreError('closed', 'killed');
      return killed.txn(request);
    },
  };
  await assert.rejects(restore(dying, whole, protectors), /killed/);
  assert.ok((await contents(killed)).length > 0);
  await assert.rejects(
    openRootKey(killed, protectors, randomBytes),
    /A restore into this store was cut short/,
  );
  await restore(killed, whole, protectors);
  assert.deepEqual(await contents(killed), await contents(store));
  assert.ok(await openRootKey(killed, protectors, randomBytes));
});

test('a restore under another root key, or into a store that is not empty, is refused with its reason', async () => {
  const rootKey = randomBytes(32);
  const store = await filledStore(rootKey);
  const { whole: file } = await backUp(store, rootKey);
  const target = createMemoryStore();
  assert.match(
    await reasonOf(restore(target, file, [protector(randomBytes(32))])),
    /restore-refused: The backup was made under another root key/,
  );
  assert.deepEqual(await contents(target), []);
  assert.match(
    await reasonOf(restore(store, file, [protector(rootKey)])),
    /restore-refused: .* Restore into an empty one/,
  );
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-backup-'));
  const fileProtector = createFileProtector(join(folder, 'root.key'));
  assert.match(await reasonOf(restore(target, file, [fileProtector])), /restore-refused/);
  await rm(folder, { recursive: true });
  await assert.rejects(createBackup(createMemoryStore(), rootKey, 0, randomBytes), {
    code: 'root-key-missing',
  });
});

test('a truncated or altered file is refused, and nothing of it is written', async () => {
  const rootKey = randomBytes(32);
  const { whole: file } = await backUp(await filledStore(rootKey), rootKey);
  const target = createMemoryStore();
  const seed = Date.now() & 0x7fffffff;
  await assertProperty(
    asyncProperty(nat(file.length - 1), integer({ min: 0, max: 8 }), async (at, bit) => {
      const changed = bit === 8 ? file.subarray(0, at) : Buffer.from(file);
      if (bit < 8) changed[at] = (changed[at] as number) ^ (1 << bit);
      const reason = await reasonOf(restore(target, changed, [protector(rootKey)]));
      return reason.startsWith('backup-damaged:') && (await contents(target)).length === 0;
    }),
    { seed, numRuns: 60, verbose: 1 },
  );
  console.log(`seed ${seed}`);
});
