/**
 * Writes the store's file anew without its history and its free pages, so that nothing of what was replaced or deleted is left in it.
 * LMDB's compacting copy holds what the trees hold; it takes the place of the file in one step, when it was read back whole.
 */
import { chmod, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { StoreError } from '../store.js';
import { COPY_FOLDER, inspectDataFile } from './data-file.js';
import { inUse, lockDirectory } from './directory-lock.js';
import { Environment } from './environment.js';
import { toStoreError } from './errors.js';
import { openLmdbStore } from './open.js';
import { verifyTables } from './verify.js';

export interface ShrunkStore {
  /** Nothing before it can be read any more. */
  readonly revision: number;
  /** Of data.mdb. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

const DATA_FILE = 'data.mdb';
const LOCK_FILE = 'lock.mdb';

/**
 * Only while nobody has the store open. Needs as much free space as the store's live values take.
 *
 * @param path the store's own folder
 * @throws StoreError `in-use`, `corrupt`, `no-space`, `unavailable`; the store is then as it was, or without its history
 */
export async function shrinkLmdbStore(path: string): Promise<ShrunkStore> {
  const folder = resolve(path);
  const dataPath = join(folder, DATA_FILE);
  const revision = await compactAll(folder);
  const lock = await lockDirectory(folder);
  try {
    const { size: bytesBefore } = await stat(dataPath);
    await copyInPlace(folder, dataPath);
    const { size: bytesAfter } = await stat(dataPath);
    return { revision, bytesBefore, bytesAfter };
  } catch (error) {
    throw toStoreError(error, dataPath);
  } finally {
    await rm(join(folder, COPY_FOLDER), { recursive: true, force: true });
    await lock.release();
  }
}

async function compactAll(folder: string): Promise<number> {
  const store = await openLmdbStore({ path: folder });
  try {
    const { revision } = await store.status();
    try {
      await store.compact(revision);
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'compacted') throw error;
    }
    return revision;
  } finally {
    await store.close();
  }
}

async function copyInPlace(folder: string, dataPath: string): Promise<void> {
  const copyFolder = join(folder, COPY_FOLDER);
  await rm(copyFolder, { recursive: true, force: true });
  // Nobody else may enter it: LMDB makes its copies readable for all.
  await mkdir(copyFolder, { mode: 0o700 });
  const copyPath = join(copyFolder, DATA_FILE);
  const { mode } = await stat(dataPath);
  const counts = await withEnvironment(folder, async (environment) => {
    const other = environment.readerPids().find((pid) => pid !== process.pid);
    if (other !== undefined) throw inUse(folder, other);
    await environment.copyCompacted(copyFolder).catch((error: unknown) => {
      throw copyFailure(error, dataPath);
    });
    return countsOf(environment);
  });
  await chmod(copyPath, mode & 0o777);
  const file = await inspectDataFile(copyPath);
  if (file.kind !== 'whole') throw notTheSame(copyPath);
  // A copy that cannot be read must not take the place of what can.
  const copied = await withEnvironment(copyFolder, (environment) => {
    verifyTables(environment);
    return Promise.resolve(countsOf(environment));
  });
  if (copied !== counts) throw notTheSame(copyPath);
  await sync(copyPath);
  // Readers' places in the old file; made anew when the store is opened.
  await rm(join(folder, LOCK_FILE), { force: true });
  await rename(copyPath, dataPath);
  await sync(folder);
}

async function withEnvironment<T>(folder: string, use: (environment: Environment) => Promise<T>): Promise<T> {
  const environment = new Environment(folder);
  try {
    return await use(environment);
  } finally {
    await environment.close();
  }
}

/** How many entries each table has. */
function countsOf({ tables, snapshot }: Environment): string {
  return Object.values(tables)
    .map((table) => table.count(snapshot, {}))
    .join(',');
}

/** The package gives a copy that failed no code, only the C library's words: ENOSPC, EFBIG, EDQUOT. */
function copyFailure(error: unknown, dataPath: string): unknown {
  if (!(error instanceof Error) || !/no space left|file too large|quota exceeded/i.test(error.message))
    return error;
  return new StoreError(
    'no-space',
    `no space left beside ${dataPath} for a copy of what is live: the store is as it was; free space on its file system, then try again`,
    { cause: error },
  );
}

function notTheSame(path: string): StoreError {
  return new StoreError('corrupt', `the copy ${path} is not what was copied; the store is as it was`);
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
