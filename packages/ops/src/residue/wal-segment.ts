/**
 * One file of etcd's write-ahead log (`member/wal/*.wal`), read record by record.
 *
 * Frame: length i64 little-endian (low 56 bits: bytes of the record; if negative, bits 56 to 58: bytes of padding) ‖ record ‖ padding.
 * Record: the protobuf message {1 type, 2 crc, 3 data}. The CRC-32C goes on from record to record over their data; one of type 4 opens
 * each file with where it stood. A length of zero is space made ready and not used yet. Source: etcd `server/storage/wal`.
 */
import type { PageFile } from '../bbolt/page-file.js';
import { crc32c } from './crc32c.js';
import { messageFields } from './message-fields.js';

export type WalPiece =
  | { readonly kind: 'entry'; readonly data: Buffer }
  /** The records end here; `problem` when they should not. */
  | { readonly kind: 'end'; readonly at: number; readonly crc: number; readonly problem?: string };

const FRAME_BYTES = 8;
const SECTOR_BYTES = 512;
/** A record holds one request, and etcd takes none this large: a longer one is a changed length. */
const RECORD_BYTES_MAX = 256 * 1024 * 1024;
const ENTRY_TYPE = 2;
const CRC_TYPE = 4;

/**
 * Total: the last piece is an `end`.
 *
 * @param isLast etcd may have been stopped while it wrote there: a record that was not written to its end is no damage
 * @param crcBefore where the file before ended; undefined: it is not there
 */
export function* readWalSegment(
  file: PageFile,
  isLast: boolean,
  crcBefore: number | undefined,
): Generator<WalPiece> {
  let at = 0;
  let crc = crcBefore;
  const end = (problem?: string): WalPiece => ({
    kind: 'end',
    at,
    crc: crc ?? 0,
    ...(problem === undefined ? {} : { problem: `${problem} at byte ${at}` }),
  });
  while (at + FRAME_BYTES <= file.sizeBytes) {
    const frame = file.read(at, FRAME_BYTES);
    const top = frame[7] ?? 0;
    const length = frame.readUIntLE(0, 6) + (frame[6] ?? 0) * 2 ** 48;
    if (length === 0 && top === 0) break;
    const padded = length + (top >= 0x80 ? top & 7 : 0);
    if (padded > file.sizeBytes - at - FRAME_BYTES) {
      const isCut = isLast && length <= RECORD_BYTES_MAX;
      yield isCut ? end() : end('a record goes on beyond the end of the file');
      return;
    }
    const bytes = file.read(at + FRAME_BYTES, padded);
    const record = parseRecord(bytes.subarray(0, length));
    const known = record === undefined ? undefined : checkedCrc(record, crc);
    if (record === undefined || known === undefined) {
      const problem = record === undefined ? 'a record is not whole' : 'the checksum of a record is wrong';
      yield isLast && isTorn(bytes, at + FRAME_BYTES) ? end() : end(problem);
      return;
    }
    crc = known;
    at += FRAME_BYTES + padded;
    if (record.type === ENTRY_TYPE) yield { kind: 'entry', data: record.data };
  }
  const isCut = file.sizeBytes - at > 0 && file.sizeBytes - at < FRAME_BYTES;
  yield end(isCut && !isLast ? 'the length of a record is cut short' : undefined);
}

interface WalRecord {
  readonly type: number;
  readonly crc: number;
  readonly data: Buffer;
}

function parseRecord(bytes: Buffer): WalRecord | undefined {
  const fields = messageFields(bytes);
  if (fields === undefined) return undefined;
  let [type, crc, data] = [0, 0, Buffer.alloc(0)];
  for (const field of fields) {
    if (field.kind === 'bytes') {
      if (field.number === 3) data = Buffer.from(field.bytes);
    } else if (field.number === 1) type = Number(field.value);
    else if (field.number === 2) crc = Number(BigInt.asUintN(32, field.value));
  }
  return type >= 1 && type <= 5 ? { type, crc, data } : undefined;
}

/** Where the chain stands behind the record; undefined: its checksum is another. */
function checkedCrc(record: WalRecord, before: number | undefined): number | undefined {
  if (record.type === CRC_TYPE) {
    return before === undefined || before === record.crc ? record.crc : undefined;
  }
  return crc32c(record.data, before ?? 0) === record.crc ? record.crc : undefined;
}

/** A disk writes whole sectors: one of zeros was never written. */
function isTorn(bytes: Buffer, position: number): boolean {
  for (let start = 0; start < bytes.length;) {
    const end = Math.min(bytes.length, start + SECTOR_BYTES - ((position + start) % SECTOR_BYTES));
    if (bytes.subarray(start, end).every((byte) => byte === 0)) return true;
    start = end;
  }
  return false;
}
