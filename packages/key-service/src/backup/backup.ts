/**
 * Backup and restore of everything the key service keeps in its store, as of one revision, sealed under the root key.
 *
 * The root key itself is in it only as its protector keeps it: for a file protector not at all, so the root key file is backed up
 * apart. Principals and the audit log are files of their own.
 */
import { prefixRangeEnd, type RangeResult, type Store } from '@waxseal/storage';
import { KeyServiceError } from '../errors.js';
import { ALL_PREFIX, RESTORE_UNDER_WAY, ROOT_KEY_RECORD } from '../keys/store-keys.js';
import type { RootKeyProtector } from '../root-key/protector.js';
import { parseRootKeyRecord, proveRootKey } from '../root-key/root-key.js';
import { type BackupRecord, checkBackup, decodeBackup, encodeBackup } from './format.js';

const PAGE_SIZE = 1000;
const RECORDS_PER_TXN = 64;

export interface BackupSummary {
  readonly records: number;
  readonly revision: number;
  readonly createdAtMs: number;
}

export interface Backup extends BackupSummary {
  /** Of the file, in pieces of at most about 64 KiB. Read from the store as they are asked for. */
  readonly file: AsyncIterable<Buffer>;
}

/**
 * Takes a backup; the service may run meanwhile.
 *
 * @param rootKey as openRootKey gave it
 * @throws KeyServiceError root-key-missing for a store that was never used; StoreError. While the file is read: StoreError `compacted` when
 *   the store's history was compacted meanwhile; another try begins at a newer revision
 */
export async function createBackup(
  store: Store,
  rootKey: Buffer,
  nowMs: number,
  randomBytes: (size: number) => Buffer,
): Promise<Backup> {
  const { kv, revision } = await store.get(ROOT_KEY_RECORD);
  if (kv === undefined) {
    throw new KeyServiceError('root-key-missing', 'The store is empty: there is nothing to back up yet.');
  }
  const rangeEnd = prefixRangeEnd(ALL_PREFIX);
  const { count } = await store.range({ key: ALL_PREFIX, rangeEnd, revision, countOnly: true });
  const summary = { createdAtMs: nowMs, revision, records: count };
  const header = { ...summary, rootKey: parseRootKeyRecord(kv.value) };
  return { ...summary, file: encodeBackup(header, recordsAt(store, revision), rootKey, randomBytes) };
}

/** Everything the key service keeps, as of the revision, page by page. */
async function* recordsAt(store: Store, revision: number): AsyncGenerator<BackupRecord, void> {
  const rangeEnd = prefixRangeEnd(ALL_PREFIX);
  let from: Buffer | undefined = ALL_PREFIX;
  while (from !== undefined) {
    const page: RangeResult = await store.range({ key: from, rangeEnd, limit: PAGE_SIZE, revision });
    yield* page.kvs;
    const last = page.kvs.at(-1);
    from = page.more && last !== undefined ? Buffer.concat([last.key, Buffer.alloc(1)]) : undefined;
  }
}

/**
 * Writes a backup into an empty store. Until it is whole the store is marked, and no service starts on it; a restore that fails or is
 * aborted empties the store again, and one that was killed is cleared away by the next.
 *
 * @param open gives the file from its beginning; called twice: nothing is written before the whole of it was read once
 * @param protectors must open the root key the backup was made under
 * @throws KeyServiceError backup-damaged, restore-refused, and those of the protectors; StoreError; the signal's reason
 */
export async function restoreBackup(
  store: Store,
  open: () => AsyncIterable<Buffer>,
  protectors: readonly RootKeyProtector[],
  signal?: AbortSignal,
): Promise<BackupSummary> {
  const checked = await checkBackup(open());
  await requireEmpty(store);
  const rootKey = await openRootKeyOf(checked.header.rootKey, protectors);
  try {
    await markRestore(store);
    let rootKeyRecord: BackupRecord | undefined;
    for await (const batch of batches(decodeBackup(open(), checked, rootKey))) {
      signal?.throwIfAborted();
      rootKeyRecord ??= batch.find(isRootKey);
      await write(
        store,
        batch.filter((record) => !isRootKey(record)),
      );
    }
    signal?.throwIfAborted();
    if (rootKeyRecord === undefined) {
      throw new KeyServiceError(
        'backup-damaged',
        'The backup holds no root key record. Use another copy of it.',
      );
    }
    const { key, value } = rootKeyRecord;
    await store.txn({
      compare: [],
      success: [
        { kind: 'put', key, value },
        { kind: 'delete', key: RESTORE_UNDER_WAY },
      ],
      failure: [],
    });
  } catch (error) {
    // What cannot be removed now stays marked.
    await clear(store).catch(() => undefined);
    throw error;
  } finally {
    rootKey.fill(0);
  }
  const { records, revision, createdAtMs } = checked.header;
  return { records, revision, createdAtMs };
}

const isRootKey = ({ key }: BackupRecord): boolean => key.equals(ROOT_KEY_RECORD);

async function requireEmpty(store: Store): Promise<void> {
  if ((await store.get(RESTORE_UNDER_WAY)).kv !== undefined) return clear(store);
  const rangeEnd = prefixRangeEnd(ALL_PREFIX);
  const { count } = await store.range({ key: ALL_PREFIX, rangeEnd, countOnly: true });
  if (count > 0) {
    throw new KeyServiceError(
      'restore-refused',
      `The store holds ${count} records already. Restore into an empty one: choose another data directory, or move the store away.`,
    );
  }
}

/** Fails when a service has begun to use the store meanwhile. */
async function markRestore(store: Store): Promise<void> {
  const value = Buffer.from('{"version":1}');
  const { succeeded } = await store.txn({
    compare: [{ key: ROOT_KEY_RECORD, target: 'createRevision', result: 'equal', number: 0 }],
    success: [{ kind: 'put', key: RESTORE_UNDER_WAY, value }],
    failure: [],
  });
  if (!succeeded) {
    throw new KeyServiceError('restore-refused', 'Another process uses the store. Stop it first.');
  }
}

/** Takes away what an unfinished restore has written, its mark last. */
async function clear(store: Store): Promise<void> {
  if ((await store.get(RESTORE_UNDER_WAY)).kv === undefined) return;
  const everything = { key: ALL_PREFIX, rangeEnd: prefixRangeEnd(ALL_PREFIX) };
  for (let left = true; left;) {
    const { kvs, more } = await store.range({ ...everything, limit: RECORDS_PER_TXN, keysOnly: true });
    await store.txn({
      compare: [],
      success: kvs.map(({ key }) => ({ kind: 'delete', key })),
      failure: [],
    });
    left = more;
  }
  await store.txn({ compare: [], success: [{ kind: 'delete', key: RESTORE_UNDER_WAY }], failure: [] });
}

async function write(store: Store, records: readonly BackupRecord[]): Promise<void> {
  if (records.length === 0) return;
  await store.txn({
    compare: [],
    success: records.map(({ key, value }) => ({ kind: 'put', key, value })),
    failure: [],
  });
}

async function openRootKeyOf(
  record: Parameters<typeof proveRootKey>[0],
  protectors: readonly RootKeyProtector[],
): Promise<Buffer> {
  try {
    return await proveRootKey(record, protectors);
  } catch (error) {
    if (!(error instanceof KeyServiceError) || error.code !== 'root-key-wrong') throw error;
    throw new KeyServiceError(
      'restore-refused',
      `The backup was made under another root key, kept by the protector '${record.protector}'. Restore with that root key: without it the keys in the backup cannot be opened.`,
      { cause: error },
    );
  }
}

/** Small enough for a transaction of any store, also with records of 32 KiB policies. */
async function* batches(records: AsyncIterable<BackupRecord>): AsyncGenerator<readonly BackupRecord[], void> {
  let batch: BackupRecord[] = [];
  let bytes = 0;
  for await (const record of records) {
    const size = record.key.length + record.value.length;
    if (batch.length > 0 && (batch.length === RECORDS_PER_TXN || bytes + size > 1024 * 1024)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(record);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
