/**
 * A look at `data.mdb` before LMDB maps it. LMDB trusts its file: pages that the meta page names but the file lacks
 * would end the process with SIGBUS at the first read. Here the meta pages are parsed, and a file that is too short is
 * found out.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { endianness } from 'node:os';
import { StoreError } from '../store.js';

/** MDB_page header of the package's LMDB (mdb.c): what lies before a meta page's fields. */
const PAGE_HEADER_BYTES = 24;
const MAGIC = 0xbeefc0de;
/** MDB_meta: magic 4, version 4, address 8, map size 8, two MDB_db of 48 bytes, last page 8, transaction 8. */
const DB_BYTES = 48;
const FREE_DB = 24;
const LAST_PAGE = FREE_DB + 2 * DB_BYTES;
const TRANSACTION = LAST_PAGE + 8;
const META_BYTES = TRANSACTION + 8;
const MIN_PAGE_BYTES = 256;
const MAX_PAGE_BYTES = 65536;
/** Byte positions stay exact in a number. */
const MAX_LAST_PAGE = 2n ** 36n;

/**
 * Beside the file: where its copy is made when it is written anew (shrink.ts), so that a rename can put it in its place. What a crash left
 * there is removed when the store is opened.
 */
export const COPY_FOLDER = 'shrinking';

interface Meta {
  readonly pageBytes: number;
  readonly lastPage: number;
  readonly transaction: bigint;
}

export type DataFile =
  | { readonly kind: 'absent' }
  | { readonly kind: 'whole' }
  /** Shorter than its newest meta page says. Harmless if the missing pages are free ones. */
  | { readonly kind: 'short'; readonly sizeBytes: number; readonly expectedBytes: number };

export async function inspectDataFile(path: string): Promise<DataFile> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { kind: 'absent' };
    throw error;
  }
  try {
    const { size } = await file.stat();
    if (size === 0) return { kind: 'absent' };
    const first = await readMeta(file, 0, path);
    const second = await readMeta(file, first.pageBytes, path);
    if (second.pageBytes !== first.pageBytes) throw notAStore(path);
    const newest = second.transaction > first.transaction ? second : first;
    const expectedBytes = (newest.lastPage + 1) * newest.pageBytes;
    return size >= expectedBytes ? { kind: 'whole' } : { kind: 'short', sizeBytes: size, expectedBytes };
  } finally {
    await file.close();
  }
}

async function readMeta(file: FileHandle, position: number, path: string): Promise<Meta> {
  const page = Buffer.alloc(PAGE_HEADER_BYTES + META_BYTES);
  const { bytesRead } = await file.read(page, 0, page.length, position);
  if (bytesRead < page.length) throw notAStore(path);
  const meta = page.subarray(PAGE_HEADER_BYTES);
  const little = endianness() === 'LE';
  const uint32 = (at: number): number => (little ? meta.readUInt32LE(at) : meta.readUInt32BE(at));
  const uint64 = (at: number): bigint => (little ? meta.readBigUInt64LE(at) : meta.readBigUInt64BE(at));
  const pageBytes = uint32(FREE_DB);
  const lastPage = uint64(LAST_PAGE);
  if (
    uint32(0) !== MAGIC ||
    pageBytes < MIN_PAGE_BYTES ||
    pageBytes > MAX_PAGE_BYTES ||
    (pageBytes & (pageBytes - 1)) !== 0 ||
    lastPage > MAX_LAST_PAGE
  ) {
    throw notAStore(path);
  }
  return { pageBytes, lastPage: Number(lastPage), transaction: uint64(TRANSACTION) };
}

function notAStore(path: string): StoreError {
  return new StoreError(
    'corrupt',
    `${path} is damaged or not an LMDB file; restore the data directory from a backup`,
  );
}
