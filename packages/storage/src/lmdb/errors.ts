/** What LMDB and the operating system say, as StoreErrors that tell what to do. */
import { StoreError } from '../store.js';

// Codes of lmdb.h.
const MDB_CORRUPT_CODES = new Set([
  -30797, // MDB_PAGE_NOTFOUND
  -30796, // MDB_CORRUPTED
  -30794, // MDB_VERSION_MISMATCH
  -30793, // MDB_INVALID
]);
const MDB_MAP_FULL = -30792;
const MDB_PANIC = -30795;

// Codes of errno.h, which LMDB passes through.
const ENOMEM = 12;
const EACCES = 13;
const EFBIG = 27;
const ENOSPC = 28;
const EDQUOT = 122;
const NO_SPACE_CODES = new Set<unknown>([ENOSPC, EFBIG, EDQUOT, MDB_MAP_FULL, 'ENOSPC', 'EDQUOT', 'EFBIG']);

export function toStoreError(error: unknown, path: string): StoreError {
  if (error instanceof StoreError) return error;
  const code = errorCode(error);
  const options = { cause: error };
  if (NO_SPACE_CODES.has(code)) {
    return new StoreError(
      'no-space',
      `no space left for ${path}: nothing was written, reads go on; free space on its file system or compact the store, then try again`,
      options,
    );
  }
  if (typeof code === 'number' && MDB_CORRUPT_CODES.has(code)) {
    return new StoreError(
      'corrupt',
      `${path} is damaged or not an LMDB file; restore the data directory from a backup`,
      options,
    );
  }
  if (code === MDB_PANIC) {
    return new StoreError(
      'unavailable',
      `writing to ${path} failed before; check the disk, then restart`,
      options,
    );
  }
  if (code === ENOMEM) {
    return new StoreError(
      'unavailable',
      `no address space to map ${path}; raise the limit on virtual memory (ulimit -v)`,
      options,
    );
  }
  if (code === EACCES || code === 'EACCES' || code === 'EPERM') {
    return new StoreError(
      'unavailable',
      `no permission for ${path}; run as the user that owns it, or change its owner`,
      options,
    );
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new StoreError('unavailable', `the store in ${path} failed: ${reason}`, options);
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

export function closedError(): StoreError {
  return new StoreError('closed', 'the store is closed');
}
