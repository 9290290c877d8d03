/** The fields of a protobuf message whose type is not generated here: the log's records and what etcd puts in them. */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

export type MessageField =
  | { readonly number: number; readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly number: number; readonly kind: 'varint'; readonly value: bigint };

/** In order of writing; other wire types are left out. Undefined: the bytes are not a message. */
export function messageFields(bytes: Buffer): readonly MessageField[] | undefined {
  const reader = new BinaryReader(bytes);
  const fields: MessageField[] = [];
  try {
    while (reader.pos < reader.len) {
      const [number, type] = reader.tag();
      if (type === WireType.LengthDelimited) {
        const read = reader.bytes();
        fields.push({
          number,
          kind: 'bytes',
          bytes: Buffer.from(read.buffer, read.byteOffset, read.byteLength),
        });
      } else if (type === WireType.Varint) {
        fields.push({ number, kind: 'varint', value: BigInt.asUintN(64, BigInt(reader.uint64())) });
      } else {
        reader.skip(type, number);
      }
    }
  } catch {
    return undefined;
  }
  return reader.pos === reader.len ? fields : undefined;
}
