/** Segments of etcd's write-ahead log for tests, written by its format. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { crc32c } from '../residue/crc32c.js';

const message = (write: (writer: BinaryWriter) => void): Uint8Array => {
  const writer = new BinaryWriter();
  write(writer);
  return writer.finish();
};
const bytesField = (number: number, bytes: Uint8Array): Uint8Array =>
  message((writer) => writer.tag(number, WireType.LengthDelimited).bytes(bytes));
const join2 = (...parts: readonly Uint8Array[]): Buffer => Buffer.concat(parts);

const put = (key: string, value: string): Uint8Array =>
  join2(bytesField(1, Buffer.from(key)), bytesField(2, Buffer.from(value)));
/** The data of a record, as kube-apiserver makes etcd write it: a transaction with a put. */
export const loggedPut = (key: string, value: string): Buffer =>
  join2(bytesField(4, bytesField(6, bytesField(2, bytesField(2, put(key, value))))));

/** A whole segment. @param spareBytes space made ready behind the last record */
export function walSegment(entries: readonly Buffer[], crcBefore: number, spareBytes: number): Buffer {
  let crc = crcBefore;
  const record = (type: number, data?: Buffer): Buffer => {
    if (data !== undefined) crc = crc32c(data, crc);
    const body = message((writer) => {
      writer.tag(1, WireType.Varint).uint64(type).tag(2, WireType.Varint).uint32(crc);
      if (data !== undefined) writer.tag(3, WireType.LengthDelimited).bytes(data);
    });
    const padding = (8 - (body.length % 8)) % 8;
    const frame = Buffer.alloc(8);
    frame.writeUIntLE(body.length, 0, 6);
    if (padding > 0) frame[7] = 0x80 | padding;
    return join2(frame, body, Buffer.alloc(padding));
  };
  return join2(record(4), ...entries.map((entry) => record(2, entry)), Buffer.alloc(spareBytes));
}
