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

/** @throws OpsError source-damaged */
export function parseRevisionKey(key: Buffer): RevisionKey {
  const marked = key.length === REVISION_BYTES + 1 && key[REVISION_BYTES] === TOMBSTONE;
  if ((key.length !== REVISION_BYTES && !marked) || key[8] !== UNDERSCORE) throw notRevision();
  const main = readRevision(key, 0);
  const sub = readRevision(key, 9);
  return { main, sub, isTombstone: marked };
}

function readRevision(key: Buffer, at: number): number {
  const value = key.readUInt32BE(at) * 2 ** 32 + key.readUInt32BE(at + 4);
  if (value > Number.MAX_SAFE_INTEGER) throw notRevision();
  return value;
}

function notRevision(): OpsError {
  return new OpsError('source-damaged', 'a key of the bucket "key" is not a revision');
}
