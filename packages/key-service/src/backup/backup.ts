/**
 * Backup and restore of everything the key service keeps in its store, as of one revision, sealed under the root key.
 *
 * The root key itself is in it only as its protector keeps it: for a file protector not at all, so the root key file is backed up
 * apart. Principals and the audit log are files of their own.
 */
import { prefixRangeEnd, type Store } from '@waxseal/storage';
import { KeyServiceError } from '../errors.js';
import { ALL_PREFIX, ROOT_KEY_RECORD } from '../keys/store-keys.js';
import type { RootKeyProtector } from '../root-key/protector.js';
import { parseRootKeyRecord, proveRootKey } from '../root-key/root-key.js';
import { type BackupRecord, decodeBackup, encodeBackup, readBackupHeader } from './format.js';

const PAGE_SIZE = 1000;
const RECORDS_PER_TXN = 64;

export interface BackupSummary {
  readonly records: number;
  readonly revision: number;
  readonly createdAtMs: number;
}

export interface Backup extends BackupSummary {
  readonly file: Buffer;
}

/**
 * Takes a backup; the service may run meanwhile.
 *
 * @param rootKey as openRootKey gave it
 * @throws KeyServiceError root-key-missing for a store that was never used; StoreError
 */
export async function createBackup(
  store: Store,
  rootKey: Buffer,
  nowMs: number,
  randomBytes: (size: number) => Buffer,
): Promise<Backup> {
  const rangeEnd = prefixRangeEnd(ALL_PREFIX);
  const records: BackupRecord[] = [];
  let revision: number | undefined;
  let from: Buffer | undefined = ALL_PREFIX;
  while (from !== undefined) {
    const page = await store.range({ key: from, rangeEnd, limit: PAGE_SIZE, revision });
    revision ??= page.revision;
    records.push(...page.kvs.map(({ key, value }) => ({ key, value })));
    const last = page.kvs.at(-1);
    from = page.more && last !== undefined ? Buffer.concat([last.key, Buffer.alloc(1)]) : undefined;
  }
  const rootKeyRecord = records.find(({ key }) => key.equals(ROOT_KEY_RECORD));
  if (rootKeyRecord === undefined || revision === undefined) {
    throw new KeyServiceError('root-key-missing', 'The store is empty: there is nothing to back up yet.');
  }
  const header = { createdAtMs: nowMs, revision, rootKey: parseRootKeyRecord(rootKeyRecord.value) };
  const file = encodeBackup(header, records, rootKey, randomBytes);
  return { file, records: records.length, revision, createdAtMs: nowMs };
}

/**
 * Writes a backup into an empty store. The root key record goes last: a restore that is cut short leaves a store that
 * refuses to start, and is removed before the next try.
 *
 * @param protectors must open the root key the backup was made under
 * @throws KeyServiceError backup-damaged, restore-refused, and those of the protectors; StoreError
 */
export async function restoreBackup(
  store: Store,
  file: Buffer,
  protectors: readonly RootKeyProtector[],
): Promise<BackupSummary> {
  const opened = readBackupHeader(file);
  const present = await store.range({
    key: ALL_PREFIX,
    rangeEnd: prefixRangeEnd(ALL_PREFIX),
    limit: 1,
    keysOnly: true,
  });
  if (present.count > 0) {
    throw new KeyServiceError(
      'restore-refused',
      `The store holds ${present.count} records already. Restore into an empty one: choose another data directory, or move the store away.`,
    );
  }
  const rootKey = await openRootKeyOf(opened.header.rootKey, protectors);
  const records = decodeBackup(file, opened, rootKey);
  rootKey.fill(0);
  const isRootKey = ({ key }: BackupRecord): boolean => key.equals(ROOT_KEY_RECORD);
  const ordered = [...records.filter((one) => !isRootKey(one)), ...records.filter(isRootKey)];
  for (const batch of batches(ordered)) {
    await store.txn({
      compare: [],
      success: batch.map(({ key, value }) => ({ kind: 'put', key, value })),
      failure: [],
    });
  }
  const { revision, createdAtMs } = opened.header;
  return { records: records.length, revision, createdAtMs };
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
function* batches(records: readonly BackupRecord[]): Iterable<readonly BackupRecord[]> {
  let batch: BackupRecord[] = [];
  let bytes = 0;
  for (const record of records) {
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
