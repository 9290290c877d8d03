/**
 * The log of changes, one entry for every key a revision touched (docs/formats/lmdb-store.md):
 *
 *   key    revision 8 ‖ position within the revision 4
 *   value  crc32 4 ‖ type 1 ‖ revision of the version it replaced 8 ‖ key
 *
 * It holds no values: those lie in `current`, or in `history` once replaced. Watches read it forwards from a revision;
 * compaction reads it to know which versions may go.
 */
import { crc32 } from 'node:zlib';
import { StoreError } from '../store.js';
import { readRevision, writeRevision } from './bytes.js';

export interface LogEntry {
  readonly revision: number;
  readonly position: number;
  readonly type: 'put' | 'delete';
  readonly key: Buffer;
  /** modRevision of the version this change replaced or deleted; 0 when there was none. */
  readonly replaced: number;
}

const KEY_BYTES = 12;
const TYPE = 4;
const REPLACED = 5;
const HEADER_BYTES = 13;
const TYPE_PUT = 1;
const TYPE_DELETE = 2;

export function logKey(revision: number, position: number): Buffer {
  const key = Buffer.allocUnsafe(KEY_BYTES);
  writeRevision(key, revision, 0);
  key.writeUInt32BE(position, 8);
  return key;
}

export function encodeLogEntry(entry: LogEntry, at: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + entry.key.length);
  bytes[TYPE] = entry.type === 'put' ? TYPE_PUT : TYPE_DELETE;
  writeRevision(bytes, entry.replaced, REPLACED);
  entry.key.copy(bytes, HEADER_BYTES);
  bytes.writeUInt32BE(checksum(at, bytes), 0);
  return bytes;
}

export function parseLogEntry(at: Buffer, bytes: Buffer): LogEntry {
  const type = bytes[TYPE];
  if (
    at.length !== KEY_BYTES ||
    bytes.length <= HEADER_BYTES ||
    (type !== TYPE_PUT && type !== TYPE_DELETE) ||
    bytes.readUInt32BE(0) !== checksum(at, bytes)
  ) {
    throw new StoreError(
      'corrupt',
      'an entry of the change log is damaged; restore the data directory from a backup',
    );
  }
  return {
    revision: readRevision(at, 0),
    position: at.readUInt32BE(8),
    type: type === TYPE_PUT ? 'put' : 'delete',
    key: bytes.subarray(HEADER_BYTES),
    replaced: readRevision(bytes, REPLACED),
  };
}

function checksum(at: Buffer, bytes: Buffer): number {
  return crc32(bytes.subarray(4), crc32(at));
}
