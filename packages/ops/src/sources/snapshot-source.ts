/**
 * A snapshot file (`etcdctl snapshot save`: the database, then the SHA-256 of all of it) or the database file of a stopped member
 * (`member/snap/db`), which has no checksum. They are told apart as etcdutl does: a database is a multiple of 512 bytes long.
 */
import { createHash, randomInt } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { openPageFile, type PageFile } from '../bbolt/page-file.js';
import { EtcdDatabase } from '../etcd-db/etcd-database.js';
import { OpsError } from '../errors.js';
import { eachOf, type Source } from './source.js';

const SECTOR_BYTES = 512;
const SHA256_BYTES = 32;
const READ_BYTES = 1024 * 1024;

export interface SnapshotSource extends Source {
  /** True: the file carries a checksum and it is right. False: the file of a member, which has none. */
  readonly verified: boolean;
  readonly database: EtcdDatabase;
  /** For who reads the database itself, at the end. @throws OpsError source-damaged when the file was written to since it was opened */
  refuseChanged(): void;
}

export interface SnapshotSourceOptions {
  /** 32 random bits for the table of keys; default: node:crypto. */
  readonly hashSeed?: number | undefined;
}

/**
 * Opens the file, checks its SHA-256 and reads every key once.
 *
 * @throws OpsError source-unreadable, source-damaged
 */
export async function openSnapshotSource(
  path: string,
  options: SnapshotSourceOptions = {},
): Promise<SnapshotSource> {
  const name = `snapshot ${path}`;
  const file = openPageFile(path);
  try {
    const verified = await verifyChecksum(path, file);
    const database = await EtcdDatabase.open(file, options.hashSeed ?? randomInt(2 ** 32));
    return {
      name,
      verified,
      database,
      refuseChanged: () => refuseChanged(path, file),
      revision: database.revision,
      compactRevision: database.compactRevision,
      countLive: () => Promise.resolve(database.liveCount),
      live: (prefix) => eachOf(named(path, file, database.livePages(prefix))),
      liveUnder: (prefixes) => eachOf(named(path, file, database.livePages(...prefixes))),
      livePages: (prefix) => named(path, file, database.livePages(prefix)),
      past: (prefix) => named(path, file, database.past(prefix)),
      close: () => {
        file.close();
        return Promise.resolve();
      },
    };
  } catch (error) {
    file.close();
    throw withName(path, error);
  }
}

async function verifyChecksum(path: string, file: PageFile): Promise<boolean> {
  const rest = file.sizeBytes % SECTOR_BYTES;
  if (file.sizeBytes === 0) throw new OpsError('source-damaged', 'it is empty');
  if (rest === 0) return false;
  if (rest !== SHA256_BYTES || file.sizeBytes < SECTOR_BYTES) {
    throw new OpsError(
      'source-damaged',
      `${file.sizeBytes} bytes are neither a database nor a database with its SHA-256: it was cut short, or is something else`,
    );
  }
  const databaseBytes = file.sizeBytes - SHA256_BYTES;
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { end: databaseBytes - 1, highWaterMark: READ_BYTES })) {
    hash.update(chunk as Buffer);
  }
  if (!hash.digest().equals(file.read(databaseBytes, SHA256_BYTES))) {
    throw new OpsError(
      'source-damaged',
      'its SHA-256 is wrong: it was cut short or altered after it was taken',
    );
  }
  return true;
}

async function* named<T>(path: string, file: PageFile, values: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* values;
  } catch (error) {
    const isDamaged = error instanceof OpsError && error.code === 'source-damaged';
    throw withName(path, isDamaged && file.isChanged() ? changed(error) : error);
  }
  refuseChanged(path, file);
}

/** The checksum was that of other bytes. */
function refuseChanged(path: string, file: PageFile): void {
  if (file.isChanged()) throw withName(path, changed());
}

const changed = (cause?: unknown): OpsError =>
  new OpsError('source-damaged', 'it was changed while it was read', cause);

/** Says which file, and what to do, behind what the parts found. */
function withName(path: string, error: unknown): unknown {
  if (!(error instanceof OpsError) || error.code !== 'source-damaged') return error;
  return new OpsError(
    'source-damaged',
    `${path} cannot be used: ${error.message}. Use another copy, or take a new snapshot.`,
    error,
  );
}
