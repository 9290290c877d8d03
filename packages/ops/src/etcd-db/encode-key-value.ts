/**
 * A value of etcd's `key` bucket as bytes: the protobuf message mvccpb.KeyValue (1 key, 2 create_revision, 3 mod_revision, 4 version,
 * 5 value, 6 lease), fields in order and zero ones left out, as etcd writes it.
 */
import type { StoredKeyValue } from '../sources/source.js';

export function encodeKeyValue(kv: StoredKeyValue): Buffer {
  return Buffer.concat([
    ...bytesField(0x0a, kv.key),
    ...numberField(0x10, BigInt(kv.createRevision)),
    ...numberField(0x18, BigInt(kv.modRevision)),
    ...numberField(0x20, BigInt(kv.version)),
    ...bytesField(0x2a, kv.value),
    // int64: a negative one takes ten bytes.
    ...numberField(0x30, BigInt.asUintN(64, kv.lease)),
  ]);
}

function bytesField(tag: number, bytes: Buffer): readonly Buffer[] {
  return bytes.length === 0 ? [] : [Buffer.from([tag, ...varint(BigInt(bytes.length))]), bytes];
}

function numberField(tag: number, value: bigint): readonly Buffer[] {
  return value === 0n ? [] : [Buffer.from([tag, ...varint(value)])];
}

function varint(value: bigint): readonly number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return bytes;
}
