/**
 * The meta pages of an LMDB file, data version 2, as the npm package `lmdb` 3 writes it (docs/formats/lmdb-store.md). The newer of pages 0
 * and 1 names the two trees of a file: that of its free pages, and that of its databases.
 *
 * Behind the page header: magic u32 ‖ version u32 ‖ address u64 ‖ map size u64 ‖ 2 × tree (48 bytes) ‖ last page u64 ‖ transaction u64.
 * A tree: page size u32, in the first alone ‖ flags u16 ‖ depth u16 ‖ branch, leaf and overflow pages and entries u64 each ‖ root u64.
 * Numbers have the byte order of the machine that wrote them; the magic number says which.
 */
import type { PageFile } from '../bbolt/page-file.js';
import { damaged } from '../bbolt/page.js';

export const PAGE_HEADER_BYTES = 24;
export const TREE_BYTES = 48;
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
/** The upper half is flags. */
const VERSION_MASK = 0xffff;
const TREES_AT = 24;
const ROOT_AT = 40;
const META_BYTES = TREES_AT + 2 * TREE_BYTES + 16;
const PAGE_BYTES_MIN = 512;
const PAGE_BYTES_MAX = 65536;
const META_FLAG = 0x08;
const FLAGS_AT = 18;

/** How numbers are read. Those of 64 bits that are too large for a number are larger than anything they are compared with. */
export interface ByteOrder {
  u16(bytes: Buffer, at: number): number;
  u32(bytes: Buffer, at: number): number;
  u64(bytes: Buffer, at: number): number;
}

const littleEndian: ByteOrder = {
  u16: (bytes, at) => bytes.readUInt16LE(at),
  u32: (bytes, at) => bytes.readUInt32LE(at),
  u64: (bytes, at) => Number(bytes.readBigUInt64LE(at)),
};
const bigEndian: ByteOrder = {
  u16: (bytes, at) => bytes.readUInt16BE(at),
  u32: (bytes, at) => bytes.readUInt32BE(at),
  u64: (bytes, at) => Number(bytes.readBigUInt64BE(at)),
};

export interface LmdbMeta {
  readonly order: ByteOrder;
  readonly pageBytes: number;
  /** Of the tree of free pages, and of the tree of databases; undefined: it is empty. */
  readonly roots: readonly (number | undefined)[];
  readonly lastPage: number;
  /** Of the newest transaction. */
  readonly transaction: number;
}

/** @throws OpsError source-damaged */
export function readLmdbMeta(file: PageFile): LmdbMeta {
  const first = metaAt(file, 0, 'the first meta page');
  const second = metaAt(file, first.pageBytes, 'the second meta page');
  if (second.pageBytes !== first.pageBytes) throw damaged('its meta pages name two sizes of pages');
  return second.transaction > first.transaction ? second : first;
}

/** A root of a tree that is written at `at`. */
export function rootOf(order: ByteOrder, bytes: Buffer, at: number): number | undefined {
  const root = order.u64(bytes, at + ROOT_AT);
  return root >= Number.MAX_SAFE_INTEGER ? undefined : root;
}

function metaAt(file: PageFile, position: number, name: string): LmdbMeta {
  const bytes = file.read(position, PAGE_HEADER_BYTES + META_BYTES);
  const meta = bytes.subarray(PAGE_HEADER_BYTES);
  const order = [littleEndian, bigEndian].find((each) => each.u32(meta, 0) === MAGIC);
  if (order === undefined) throw damaged(`${name} is not one of LMDB`);
  if (order.u16(bytes, FLAGS_AT) !== META_FLAG || (order.u32(meta, 4) & VERSION_MASK) !== DATA_VERSION) {
    throw damaged(`${name} is not one of LMDB's data version ${DATA_VERSION}`);
  }
  const pageBytes = order.u32(meta, TREES_AT);
  if (pageBytes < PAGE_BYTES_MIN || pageBytes > PAGE_BYTES_MAX || (pageBytes & (pageBytes - 1)) !== 0) {
    throw damaged(`${name} says that pages have ${pageBytes} bytes`);
  }
  return {
    order,
    pageBytes,
    roots: [rootOf(order, meta, TREES_AT), rootOf(order, meta, TREES_AT + TREE_BYTES)],
    lastPage: order.u64(meta, TREES_AT + 2 * TREE_BYTES),
    transaction: order.u64(meta, TREES_AT + 2 * TREE_BYTES + 8),
  };
}
