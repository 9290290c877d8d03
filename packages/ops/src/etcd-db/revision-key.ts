/**
 * Keys of etcd's `key` bucket: main revision u64 ‖ `_` ‖ sub revision u64, big-endian, and `t` behind it for a tombstone. Several changes
 * of one transaction share the main revision.
 */
import { OpsError } from '../errors.js';

export interface RevisionKey {
  readonly main: number;
  readonly sub: number;
  readonly isTombstone: boolean;
}

const REVISION_BYTES = 17;
const UNDERSCORE = 0x5f;
const TOMBSTONE = 0x74;

/**
 * The key that lies in `bytes` from `at` to `end`.
 *
 * @throws OpsError source-damaged
 */
export function parseRevisionKey(bytes: Buffer, at = 0, end = bytes.length): RevisionKey {
  const isTombstone = end - at === REVISION_BYTES + 1 && bytes[at + REVISION_BYTES] === TOMBSTONE;
  if ((end - at !== REVISION_BYTES && !isTombstone) || bytes[at + 8] !== UNDERSCORE) throw notRevision();
  return { main: readRevision(bytes, at), sub: readRevision(bytes, at + 9), isTombstone };
}

function readRevision(key: Buffer, at: number): number {
  const value = key.readUInt32BE(at) * 2 ** 32 + key.readUInt32BE(at + 4);
  if (value > Number.MAX_SAFE_INTEGER) throw notRevision();
  return value;
}

function notRevision(): OpsError {
  return new OpsError('source-damaged', 'a key of the bucket "key" is not a revision');
}
