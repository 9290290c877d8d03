/**
 * A record of the embedded store (docs/formats/lmdb-store.md): crc32 u32 ‖ kind u8 ‖ create revision u64 ‖ mod revision u64 ‖ version u64 ‖
 * lease u64 ‖ value, big-endian. The checksum covers the key and everything behind itself.
 */
import { crc32 } from 'node:zlib';

export const RECORD_HEADER_BYTES = 37;
const CRC_BYTES = 4;
const KIND_AT = 4;
const KIND_VALUE = 1;
const CREATE_AT = 5;
const MOD_AT = 13;
const VERSION_AT = 21;

/**
 * Do these bytes begin as the record of a value does? Its three numbers rarely fit together by chance: each has eight bytes, and they
 * count up to `revisionMax`.
 */
export function beginsRecord(bytes: Buffer, revisionMax: number): boolean {
  if (bytes.length <= RECORD_HEADER_BYTES || bytes[KIND_AT] !== KIND_VALUE) return false;
  const [create, mod, version] = [CREATE_AT, MOD_AT, VERSION_AT].map((at) => bytes.readBigUInt64BE(at));
  if (create === undefined || mod === undefined || version === undefined) return false;
  return create > 0n && create <= mod && mod <= BigInt(revisionMax) && version > 0n && version <= mod;
}

/** Is it whole, and this key's? */
export function isRecordOf(key: Buffer, record: Buffer): boolean {
  return record.readUInt32BE(0) === crc32(record.subarray(CRC_BYTES), crc32(key));
}
