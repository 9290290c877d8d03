/** Opening an LMDB store: the directory, the lock, the file, and where the store left off. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rm, stat, truncate } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { ProcessLock } from '../process-lock.js';
import { StoreError, type Store } from '../store.js';
import { parseLogEntry } from './change-log.js';
import { monotonicClock, type Clock } from './clock.js';
import { COPY_FOLDER, inspectDataFile } from './data-file.js';
import { inUse, lockDirectory } from './directory-lock.js';
import { Environment } from './environment.js';
import { toStoreError } from './errors.js';
import { LmdbStore } from './lmdb-store.js';
import { verifyTables } from './verify.js';

export interface LmdbStoreOptions {
  /** Data directory. Created with mode 0700; one that others may enter is refused. */
  readonly path: string;
  /** For leases; default: the process's monotonic clock. */
  readonly clock?: Clock | undefined;
  /** For lease ids; default: node:crypto. */
  readonly randomBytes?: ((size: number) => Buffer) | undefined;
  /** Address space to reserve; default 256 GiB. Grows when the file outgrows it. */
  readonly mapBytes?: number | undefined;
}

const FORMAT = Buffer.from('format');
/** docs/formats/lmdb-store.md */
const FORMAT_VERSION = 1;

/** As etcd: the first change gets revision 2. */
const FIRST_REVISION = 1;

const OTHERS = 0o077;

/**
 * Opens or creates the store in a directory.
 *
 * Errors: `in-use` when another process has it open, `corrupt` when the file is damaged, `invalid-argument` when the
 * directory is open to others or was written by a newer version, `no-space`, `unavailable` (permissions, I/O).
 */
export async function openLmdbStore(options: LmdbStoreOptions): Promise<Store> {
  const path = resolve(options.path);
  const dataPath = join(path, 'data.mdb');
  try {
    await makeDirectory(path);
    const lock = await lockDirectory(path);
    try {
      return await openLocked(path, dataPath, lock, options);
    } catch (error) {
      await lock.release();
      throw error;
    }
  } catch (error) {
    throw toStoreError(error, dataPath);
  }
}

async function openLocked(
  path: string,
  dataPath: string,
  lock: ProcessLock,
  options: LmdbStoreOptions,
): Promise<Store> {
  await rm(join(path, COPY_FOLDER), { recursive: true, force: true });
  const file = await inspectDataFile(dataPath);
  if (file.kind === 'short') await truncate(dataPath, file.expectedBytes);
  const environment = new Environment(path, options.mapBytes);
  try {
    const other = environment.readerPids().find((pid) => pid !== process.pid);
    if (other !== undefined) throw inUse(path, other);
    // A page that was missing reads as zeros now, which LMDB and the checksums find out.
    if (file.kind === 'short') verifyTables(environment);
    await checkFormat(environment, path);
    return new LmdbStore({
      environment,
      lock,
      dataPath,
      revision: lastRevision(environment),
      clock: options.clock ?? monotonicClock,
      randomBytes: options.randomBytes ?? randomBytes,
      version: `lmdb ${await packageVersion()}`,
    });
  } catch (error) {
    await environment.close();
    throw error;
  }
}

async function makeDirectory(path: string): Promise<void> {
  const created = await mkdir(path, { recursive: true, mode: 0o700 });
  if (created !== undefined) await syncDirectory(dirname(created));
  const { mode } = await stat(path);
  if ((mode & OTHERS) !== 0) {
    throw new StoreError(
      'invalid-argument',
      `the data directory ${path} is open to other users (mode ${(mode & 0o777).toString(8)}); run: chmod 700 ${shellWord(path)}`,
    );
  }
}

async function checkFormat(environment: Environment, path: string): Promise<void> {
  const { meta } = environment.tables;
  const format = meta.get(environment.snapshot, FORMAT);
  if (format === undefined) {
    await meta.put(FORMAT, Buffer.from([FORMAT_VERSION]));
    // The file's name must survive a crash as well as its contents.
    await syncDirectory(path);
    environment.advance();
  } else if (format.length !== 1 || format[0] !== FORMAT_VERSION) {
    throw new StoreError(
      'invalid-argument',
      `the store in ${path} has format ${format.toString('hex')}, this version reads ${FORMAT_VERSION}; use the version that wrote it`,
    );
  }
}

/** The log ends with the last change; compaction keeps that one. */
function lastRevision({ tables, snapshot }: Environment): number {
  const last = tables.log.lastKey(snapshot);
  if (last === undefined) return FIRST_REVISION;
  const { revision } = parseLogEntry(last, tables.log.get(snapshot, last) ?? Buffer.alloc(0));
  return revision;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** The package does not export its manifest; it lies beside its entry point. */
async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('package.json', import.meta.resolve('lmdb')), 'utf8');
  const manifest: unknown = JSON.parse(text);
  const version =
    typeof manifest === 'object' && manifest !== null && 'version' in manifest ? manifest.version : undefined;
  return typeof version === 'string' ? version : 'unknown';
}

/** As a POSIX shell takes it, so that the command can be pasted. */
function shellWord(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
