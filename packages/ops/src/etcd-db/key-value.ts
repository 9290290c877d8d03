/**
 * A value of etcd's `key` bucket: the protobuf message mvccpb.KeyValue (1 key, 2 create_revision, 3 mod_revision, 4 version, 5 value,
 * 6 lease), read as views on its bytes.
 *
 * Not the generated decoder of the protocol: that one copies key and value and makes every number a bigint, which is most of the time a
 * snapshot takes.
 */
import { OpsError } from '../errors.js';
import type { StoredKeyValue } from '../sources/source.js';

const EMPTY: Buffer = Buffer.alloc(0);
const KEY_TAG = 0x0a;
const VARINT_BYTES_MAX = 10;

/**
 * The message that lies in `bytes` from `at` to `end`.
 *
 * @throws OpsError source-damaged
 */
export function parseKeyValue(bytes: Buffer, at = 0, end = bytes.length): StoredKeyValue {
  const reader = new MessageReader(bytes, at, end);
  let key: Buffer = EMPTY;
  let value: Buffer = EMPTY;
  let createRevision = 0;
  let modRevision = 0;
  let version = 0;
  let lease = 0n;
  while (!reader.atEnd) {
    const tag = reader.number();
    switch (tag) {
      case KEY_TAG:
        key = reader.bytes();
        break;
      case 0x10:
        createRevision = reader.number();
        break;
      case 0x18:
        modRevision = reader.number();
        break;
      case 0x20:
        version = reader.number();
        break;
      case 0x2a:
        value = reader.bytes();
        break;
      case 0x30:
        lease = BigInt.asIntN(64, reader.varint());
        break;
      default:
        reader.skip(tag & 7);
    }
  }
  return { key, value, createRevision, modRevision, version, lease };
}

/** The key alone, from the same bytes; it is written first, so that the rest need not be looked at. */
export function parseKey(bytes: Buffer, at = 0, end = bytes.length): Buffer {
  if (bytes[at] !== KEY_TAG) return parseKeyValue(bytes, at, end).key;
  return new MessageReader(bytes, at + 1, end).bytes();
}

class MessageReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  get atEnd(): boolean {
    return this.#at >= this.#end;
  }

  /** A varint that is a revision, a size or a tag: none of them reaches 2^53. */
  number(): number {
    const first = this.#bytes[this.#at];
    if (first !== undefined && first < 0x80 && this.#at < this.#end) {
      this.#at++;
      return first;
    }
    let value = 0;
    let scale = 1;
    for (let read = 0; read < VARINT_BYTES_MAX; read++) {
      const byte = this.#at < this.#end ? this.#bytes[this.#at++] : undefined;
      if (byte === undefined) break;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 128;
    }
    throw broken();
  }

  varint(): bigint {
    let value = 0n;
    for (let read = 0; read < VARINT_BYTES_MAX; read++) {
      const byte = this.#at < this.#end ? this.#bytes[this.#at++] : undefined;
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << BigInt(7 * read);
      if (byte < 0x80) return value;
    }
    throw broken();
  }

  bytes(): Buffer {
    const length = this.number();
    return this.#take(length);
  }

  skip(wireType: number): void {
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.#take(8);
    else if (wireType === 2) this.bytes();
    else if (wireType === 5) this.#take(4);
    else throw broken();
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#end) throw broken();
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}

function broken(): OpsError {
  return new OpsError('source-damaged', 'a stored key-value is not whole');
}
