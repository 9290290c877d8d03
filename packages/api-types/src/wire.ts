/**
 * The protobuf wire format, read with bounds and written backwards.
 *
 * Source of the rules: the Protocol Buffers encoding guide; limits and leniency as gogo's generated Go code, which
 * reads every Kubernetes object. Writing from the end to the front makes each length known before it is written, so
 * nothing is measured twice and nothing is moved.
 */
import { DecodeError } from './errors.js';

export const wireVarint = 0;
export const wireFixed64 = 1;
export const wireBytes = 2;
export const wireStartGroup = 3;
export const wireEndGroup = 4;
const wireFixed32 = 5;

function malformed(what: string, offset: number): DecodeError {
  return new DecodeError('malformed-protobuf', `the protobuf is malformed at byte ${offset}: ${what}`);
}

export class WireReader {
  readonly bytes: Buffer;
  position: number;
  /** Reading stops here; nested messages narrow it. */
  end: number;
  /** Halves of the last varint. */
  #low = 0;
  #high = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.position = 0;
    this.end = bytes.length;
  }

  fail(what: string): DecodeError {
    return malformed(what, this.position);
  }

  /** `fieldNumber << 3 | wireType`. */
  tag(): number {
    const start = this.position;
    this.#varint();
    const number = this.#low >>> 3;
    if (this.#high !== 0 || number === 0) throw malformed('illegal field number', start);
    return this.#low >>> 0;
  }

  bool(): boolean {
    this.#varint();
    return (this.#low | this.#high) !== 0;
  }

  int32(): number {
    this.#varint();
    return this.#low;
  }

  /** Beyond ±2⁵³ the nearest double, as JSON readers have it. */
  int64(): number {
    this.#varint();
    return this.#high * 0x1_0000_0000 + (this.#low >>> 0);
  }

  bigInt64(): bigint {
    this.#varint();
    return (BigInt(this.#high) << 32n) | BigInt(this.#low >>> 0);
  }

  double(): number {
    const at = this.#take(8);
    return this.bytes.readDoubleLE(at);
  }

  string(): string {
    const at = this.length();
    return this.bytes.toString('utf8', at, this.position);
  }

  base64(): string {
    const at = this.length();
    return this.bytes.toString('base64', at, this.position);
  }

  /** A view, not a copy. */
  slice(): Buffer {
    const at = this.length();
    return this.bytes.subarray(at, this.position);
  }

  /** Passes over a length-delimited value and returns where it starts. */
  length(): number {
    this.#varint();
    if (this.#high !== 0 || this.#low < 0) throw this.fail('a length is negative or over 2 GiB');
    return this.#take(this.#low);
  }

  /** Narrows reading to a length-delimited value; give the result to `leave`. */
  enter(): number {
    const at = this.length();
    const outerEnd = this.end;
    this.end = this.position;
    this.position = at;
    return outerEnd;
  }

  leave(outerEnd: number): void {
    this.end = outerEnd;
  }

  skip(wireType: number): void {
    let depth = 0;
    let type = wireType;
    for (;;) {
      if (type === wireVarint) this.#varint();
      else if (type === wireFixed64) this.#take(8);
      else if (type === wireBytes) this.length();
      else if (type === wireFixed32) this.#take(4);
      else if (type === wireStartGroup) depth++;
      else if (type === wireEndGroup && depth > 0) depth--;
      else throw this.fail(`illegal wire type ${type}`);
      if (depth === 0) return;
      type = this.tag() & 7;
    }
  }

  #take(length: number): number {
    const at = this.position;
    if (length > this.end - at) throw malformed('the value ends early', at);
    this.position = at + length;
    return at;
  }

  #varint(): void {
    const bytes = this.bytes;
    let position = this.position;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (position >= this.end) throw malformed('a number ends early', position);
      const byte = bytes[position++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high |= bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.position = position;
        this.#low = low;
        this.#high = high;
        return;
      }
    }
    throw malformed('a number is longer than 64 bits', position);
  }
}

export class WireWriter {
  #bytes: Buffer;
  /** Everything from here on is written. */
  #start: number;

  constructor(capacityBytes = 1024) {
    this.#bytes = Buffer.allocUnsafe(capacityBytes);
    this.#start = capacityBytes;
  }

  /** Bytes written so far; the difference of two marks is the length of what lies between. */
  get mark(): number {
    return this.#bytes.length - this.#start;
  }

  finish(): Buffer {
    return this.#bytes.subarray(this.#start);
  }

  /** A tag in front of what was written last. */
  tag(number: number, wireType: number): void {
    this.uint32(((number << 3) | wireType) >>> 0);
  }

  /** Length and tag of the bytes written since `mark`. */
  close(number: number, mark: number): void {
    this.uint32(this.mark - mark);
    this.tag(number, wireBytes);
  }

  uint32(value: number): void {
    const length =
      value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
    let at = this.#room(length);
    let rest = value;
    for (; rest >= 0x80; rest = rest >>> 7) this.#bytes[at++] = (rest & 0x7f) | 0x80;
    this.#bytes[at] = rest;
  }

  int64(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0 && value <= 0xffff_ffff) this.uint32(value);
    else this.#uint64(BigInt.asUintN(64, BigInt(value)));
  }

  double(value: number): void {
    const at = this.#room(8);
    this.#bytes.writeDoubleLE(value, at);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  string(text: string): void {
    const length = Buffer.byteLength(text, 'utf8');
    const at = this.#room(length);
    this.#bytes.write(text, at, length, 'utf8');
  }

  #uint64(value: bigint): void {
    const out: number[] = [];
    let rest = value;
    for (; rest >= 0x80n; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80);
    out.push(Number(rest));
    this.raw(Uint8Array.from(out));
  }

  #room(length: number): number {
    if (length > this.#start) {
      const used = this.mark;
      const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, used + length));
      this.#bytes.copy(grown, grown.length - used, this.#start);
      this.#start = grown.length - used;
      this.#bytes = grown;
    }
    this.#start -= length;
    return this.#start;
  }
}
