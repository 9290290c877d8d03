/**
 * Branch and leaf pages of a bbolt database, as views on their bytes; every position is checked before it is followed.
 *
 * Leaf element: flags u32 ‖ position u32 ‖ key size u32 ‖ value size u32. Branch element: position u32 ‖ key size u32 ‖ page u64.
 * Positions count from the element itself. Little-endian.
 */
import { OpsError } from '../errors.js';

export const PAGE_HEADER_BYTES = 16;
const ELEMENT_BYTES = 16;
const BRANCH_FLAG = 0x01;
const LEAF_FLAG = 0x02;
/** Of a leaf element: its value is a bucket. */
const BUCKET_FLAG = 0x01;

export interface BranchPage {
  readonly kind: 'branch';
  readonly children: readonly number[];
}

export interface LeafElement {
  readonly isBucket: boolean;
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Its entries are made into views only when they are asked for: most of a pass over a file would be making them. */
export class LeafPage {
  readonly kind = 'leaf';
  readonly count: number;
  /** The page with its overflow. */
  readonly bytes: Buffer;

  /** @param bytes checked by `parsePage` */
  constructor(bytes: Buffer, count: number) {
    this.bytes = bytes;
    this.count = count;
  }

  isBucket(index: number): boolean {
    return this.bytes.readUInt32LE(elementAt(index)) === BUCKET_FLAG;
  }

  /** Where the key begins in `bytes`. */
  keyAt(index: number): number {
    const at = elementAt(index);
    return at + this.bytes.readUInt32LE(at + 4);
  }

  /** Where the value begins, which is where the key ends. */
  valueAt(index: number): number {
    return this.keyAt(index) + this.bytes.readUInt32LE(elementAt(index) + 8);
  }

  /** Where the value ends. */
  endAt(index: number): number {
    return this.valueAt(index) + this.bytes.readUInt32LE(elementAt(index) + 12);
  }

  key(index: number): Buffer {
    return this.bytes.subarray(this.keyAt(index), this.valueAt(index));
  }

  value(index: number): Buffer {
    return this.bytes.subarray(this.valueAt(index), this.endAt(index));
  }

  elements(): readonly LeafElement[] {
    return Array.from({ length: this.count }, (_, index) => ({
      isBucket: this.isBucket(index),
      key: this.key(index),
      value: this.value(index),
    }));
  }
}

function elementAt(index: number): number {
  return PAGE_HEADER_BYTES + index * ELEMENT_BYTES;
}

/**
 * @param bytes the page with its overflow
 * @param name for messages: `page 17`
 * @throws OpsError source-damaged
 */
export function parsePage(bytes: Buffer, name: string): BranchPage | LeafPage {
  const flags = bytes.readUInt16LE(8);
  const count = bytes.readUInt16LE(10);
  if (PAGE_HEADER_BYTES + count * ELEMENT_BYTES > bytes.length) {
    throw damaged(`${name} says it has ${count} entries, which is more than fit`);
  }
  if (flags === LEAF_FLAG) return parseLeaf(bytes, count, name);
  if (flags === BRANCH_FLAG) return parseBranch(bytes, count, name);
  throw damaged(`${name} is neither a branch nor a leaf (flags 0x${flags.toString(16)})`);
}

/** Where the elements behind a page's header end, and its first key begins. */
export function elementsEnd(page: Buffer): number {
  return elementAt(page.readUInt16LE(10));
}

/** Where the last entry of a page ends, as its elements say; they are all in `table`. 0: it is neither a branch nor a leaf, or empty. */
export function lastEntryEnd(table: Buffer): number {
  const count = table.readUInt16LE(10);
  if (count === 0) return 0;
  const at = elementAt(count - 1);
  const flags = table.readUInt16LE(8);
  if (flags === BRANCH_FLAG) return at + table.readUInt32LE(at) + table.readUInt32LE(at + 4);
  if (flags !== LEAF_FLAG) return 0;
  return at + table.readUInt32LE(at + 4) + table.readUInt32LE(at + 8) + table.readUInt32LE(at + 12);
}

/** bbolt takes as many pages as the entries fill; its older versions one more when they fill them to the last byte. */
export function fitsOverflow(end: number, pageBytes: number, overflow: number): boolean {
  return overflow === Math.ceil(end / pageBytes) - 1 || overflow === Math.floor(end / pageBytes);
}

function parseLeaf(bytes: Buffer, count: number, name: string): LeafPage {
  const page = new LeafPage(bytes, count);
  for (let index = 0; index < count; index++) {
    checkEntry(bytes, count, page.keyAt(index), page.valueAt(index), page.endAt(index), name, index);
    if (index > 0 && page.keyAt(index) !== page.endAt(index - 1)) throw notAdjacent(name, index);
    if (bytes.readUInt32LE(elementAt(index)) > BUCKET_FLAG) {
      throw damaged(`entry ${index} of ${name} has unknown flags`);
    }
    if (index > 0 && compareKeys(page, index - 1, page, index) >= 0)
      throw damaged(`keys of ${name} are out of order`);
  }
  return page;
}

/** By hand: keys are short, and `Buffer.compare` takes longer to look at its arguments than at them. */
export function compareKeys(a: LeafPage, atA: number, b: LeafPage, atB: number): number {
  const [startA, startB] = [a.keyAt(atA), b.keyAt(atB)];
  const [lengthA, lengthB] = [a.valueAt(atA) - startA, b.valueAt(atB) - startB];
  const shorter = Math.min(lengthA, lengthB);
  for (let index = 0; index < shorter; index++) {
    const difference = (a.bytes[startA + index] as number) - (b.bytes[startB + index] as number);
    if (difference !== 0) return difference;
  }
  return lengthA - lengthB;
}

function parseBranch(bytes: Buffer, count: number, name: string): BranchPage {
  if (count === 0) throw damaged(`${name} is a branch without children`);
  const children: number[] = [];
  let endBefore = elementAt(count);
  for (let index = 0; index < count; index++) {
    const at = elementAt(index);
    const keyAt = at + bytes.readUInt32LE(at);
    const end = keyAt + bytes.readUInt32LE(at + 4);
    checkEntry(bytes, count, keyAt, end, end, name, index);
    if (keyAt !== endBefore) throw notAdjacent(name, index);
    endBefore = end;
    children.push(Number(bytes.readBigUInt64LE(at + 8)));
  }
  return { kind: 'branch', children };
}

function checkEntry(
  bytes: Buffer,
  count: number,
  keyAt: number,
  keyEnd: number,
  end: number,
  name: string,
  index: number,
): void {
  if (keyAt < PAGE_HEADER_BYTES + count * ELEMENT_BYTES || end > bytes.length) {
    throw damaged(`entry ${index} of ${name} lies outside the page`);
  }
  // Keys and values begin right behind the elements: a count that was made smaller would hide entries.
  if (index === 0 && keyAt !== elementAt(count))
    throw damaged(`${name} has another number of entries than it says`);
  if (keyEnd === keyAt) throw damaged(`entry ${index} of ${name} has an empty key`);
}

/** bbolt writes entries one behind the other; a changed length or position tears them apart. */
function notAdjacent(name: string, index: number): OpsError {
  return damaged(`entry ${index} of ${name} does not begin where the one before it ends`);
}

export function damaged(what: string): OpsError {
  return new OpsError('source-damaged', what);
}
