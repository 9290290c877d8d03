/**
 * Memory that a call into the module reads and writes: values by address, and the structures that point at them.
 *
 * Layout: Linux and macOS on x64 and arm64, where CK_ULONG and pointers are 8 bytes, little-endian, and structures are aligned
 * naturally (PKCS#11 2.40 §2.1 packs them on Windows only). Copies are zeroed when the call is over.
 */
import { CKA, type CkaName } from './constants.js';

export const ULONG_BYTES = 8;
const ATTRIBUTE_BYTES = 24;

/** One entry of a template; a number is a CK_ULONG, a boolean a CK_BBOOL, a string UTF-8. */
type AttributeValue = number | boolean | string | Buffer;
export type Template = readonly (readonly [CkaName, AttributeValue])[];

export interface NativeMemory {
  /** Zeroed bytes that stay where they are until free(). */
  reserve(bytes: number): Buffer;
  /** Where a buffer of this memory lies; null for none or an empty one. */
  pointer(buffer: Buffer | undefined): bigint;
  /** A copy of a value, and where it lies. */
  copy(value: Buffer | undefined): Buffer;
  /** A structure of CK_ULONG and pointers. */
  struct(...fields: readonly (number | bigint)[]): Buffer;
  /** CK_ATTRIBUTE[] */
  template(template: Template): Buffer;
  /** Zeroes everything. */
  free(): void;
}

export function createNativeMemory(addressOf: (buffer: Buffer) => bigint): NativeMemory {
  const kept: Buffer[] = [];
  const memory: NativeMemory = {
    reserve(bytes) {
      const buffer = Buffer.allocUnsafeSlow(Math.max(bytes, 1)).fill(0);
      kept.push(buffer);
      return bytes === 0 ? buffer.subarray(0, 0) : buffer;
    },
    pointer: (buffer) => (buffer === undefined || buffer.length === 0 ? 0n : addressOf(buffer)),
    copy(value) {
      const copy = memory.reserve(value?.length ?? 0);
      value?.copy(copy);
      return copy;
    },
    struct(...fields) {
      const buffer = memory.reserve(fields.length * ULONG_BYTES);
      fields.forEach((field, index) => buffer.writeBigUInt64LE(BigInt(field), index * ULONG_BYTES));
      return buffer;
    },
    template(template) {
      const attributes = memory.reserve(template.length * ATTRIBUTE_BYTES);
      template.forEach(([name, value], index) => {
        const bytes = memory.copy(encode(value));
        attributes.writeBigUInt64LE(BigInt(CKA[name]), index * ATTRIBUTE_BYTES);
        attributes.writeBigUInt64LE(memory.pointer(bytes), index * ATTRIBUTE_BYTES + ULONG_BYTES);
        attributes.writeBigUInt64LE(BigInt(bytes.length), index * ATTRIBUTE_BYTES + 2 * ULONG_BYTES);
      });
      return attributes;
    },
    free() {
      for (const buffer of kept) buffer.fill(0);
      kept.length = 0;
    },
  };
  return memory;
}

function encode(value: AttributeValue): Buffer {
  switch (typeof value) {
    case 'number': {
      const bytes = Buffer.alloc(ULONG_BYTES);
      bytes.writeBigUInt64LE(BigInt(value));
      return bytes;
    }
    case 'boolean':
      return Buffer.from([value ? 1 : 0]);
    case 'string':
      return Buffer.from(value, 'utf8');
    default:
      return value;
  }
}

/** A CK_ULONG; what no number can hold exactly (a length of "unavailable") becomes undefined. */
export function readUlong(buffer: Buffer, offset = 0): number | undefined {
  const value = buffer.readBigUInt64LE(offset);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
}

/** Space-padded text of a fixed field, as in CK_TOKEN_INFO. */
export function readPadded(buffer: Buffer, offset: number, bytes: number): string {
  const text = buffer.toString('utf8', offset, offset + bytes);
  return text.replace(/[\0 ]+$/, '');
}
