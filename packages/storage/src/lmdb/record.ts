/**
 * A key-value as it lies on disk, in `current` and in `history` alike (docs/formats/lmdb-store.md):
 *
 *   crc32 4 ‖ kind 1 ‖ createRevision 8 ‖ modRevision 8 ‖ version 8 ‖ lease 8 ‖ value
 *
 * Numbers are big-endian. The checksum covers the key and everything behind the checksum, so a record that was damaged
 * or ended up under another key is found out when it is read. LMDB itself has no checksums.
 */
import { crc32 } from 'node:zlib';
import { StoreError, type KeyValue } from '../store.js';
import { readRevision, writeRevision } from './bytes.js';

const CRC_BYTES = 4;
const KIND = 4;
const CREATE = 5;
const MOD = 13;
const VERSION = 21;
const LEASE = 29;
const HEADER_BYTES = 37;

const KIND_VALUE = 1;
/** The key was deleted at `modRevision`; only in `history`. */
const KIND_TOMBSTONE = 2;

/** Bytes whose checksum was found right. */
export type Record = Buffer & { readonly __record: unique symbol };

export interface KeyRecord {
  readonly key: Buffer;
  readonly record: Record;
}

export interface RecordFields {
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: bigint;
}

export function encodeRecord(key: Buffer, fields: RecordFields): Record {
  return encode(key, KIND_VALUE, fields);
}

export function encodeTombstone(key: Buffer, revision: number): Record {
  const fields = { value: EMPTY, createRevision: 0, modRevision: revision, version: 0, lease: 0n };
  return encode(key, KIND_TOMBSTONE, fields);
}

const EMPTY = Buffer.alloc(0);

function encode(key: Buffer, kind: number, fields: RecordFields): Record {
  const record = Buffer.allocUnsafe(HEADER_BYTES + fields.value.length);
  record[KIND] = kind;
  writeRevision(record, fields.createRevision, CREATE);
  writeRevision(record, fields.modRevision, MOD);
  writeRevision(record, fields.version, VERSION);
  if (fields.lease === 0n) record.fill(0, LEASE, LEASE + 8);
  else record.writeBigInt64BE(fields.lease, LEASE);
  fields.value.copy(record, HEADER_BYTES);
  record.writeUInt32BE(checksum(key, record), 0);
  return record as Record;
}

/** Checks bytes read from disk. Anything but a whole record of this key is `corrupt`. */
export function parseRecord(key: Buffer, bytes: Buffer): Record {
  const kind = bytes[KIND];
  if (
    bytes.length < HEADER_BYTES ||
    (kind !== KIND_VALUE && kind !== KIND_TOMBSTONE) ||
    bytes.readUInt32BE(0) !== checksum(key, bytes)
  ) {
    throw corruptRecord(key);
  }
  return bytes as Record;
}

export function corruptRecord(key: Buffer): StoreError {
  return new StoreError(
    'corrupt',
    `the stored record of key ${JSON.stringify(key.toString())} is damaged; restore the data directory from a backup`,
  );
}

function checksum(key: Buffer, record: Buffer): number {
  return crc32(record.subarray(CRC_BYTES), crc32(key));
}

export function isTombstone(record: Record): boolean {
  return record[KIND] === KIND_TOMBSTONE;
}

export function recordCreateRevision(record: Record): number {
  return readRevision(record, CREATE);
}

export function recordModRevision(record: Record): number {
  return readRevision(record, MOD);
}

export function recordVersion(record: Record): number {
  return readRevision(record, VERSION);
}

export function recordLease(record: Record): bigint {
  if (record.readUInt32BE(LEASE) === 0 && record.readUInt32BE(LEASE + 4) === 0) return 0n;
  return record.readBigInt64BE(LEASE);
}

/** The value's bytes inside the record: no copy. */
export function recordValue(record: Record): Buffer {
  return record.subarray(HEADER_BYTES);
}

export function toKeyValue(key: Buffer, record: Record, keysOnly = false): KeyValue {
  return {
    key,
    value: keysOnly ? EMPTY : recordValue(record),
    createRevision: recordCreateRevision(record),
    modRevision: recordModRevision(record),
    version: recordVersion(record),
    lease: recordLease(record),
  };
}
