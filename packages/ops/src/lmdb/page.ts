/**
 * Branch, leaf and overflow pages of an LMDB file as views on their bytes; every position is checked before it is followed.
 *
 * Header: page u64 ‖ transaction u64 ‖ pad u16 ‖ flags u16 ‖ lower u16 ‖ upper u16. Behind it positions of nodes, u16 each and counted from
 * there on, up to `lower`; the nodes lie from `upper` on; what is between is unused. An overflow page has its number of pages in place of
 * lower and upper, and its data behind the header.
 *
 * Node: in a leaf, size of the data u32 ‖ flags u16; in a branch, 48 bits of the child's page, the highest 16 last; then key size u16 ‖ key
 * ‖ data. The data of a leaf's node is the value itself, a tree, or where the overflow pages are: page u64 ‖ transaction u64 ‖ pages u64.
 */
import { damaged } from '../bbolt/page.js';
import { PAGE_HEADER_BYTES, rootOf, TREE_BYTES, type ByteOrder } from './meta.js';

const FLAGS_AT = 18;
const LOWER_AT = 20;
const UPPER_AT = 22;
const PAGES_AT = 20;
export const NODE_HEADER_BYTES = 8;
export const OVERFLOW_PLACE_BYTES = 24;
/** The others are the writer's own. */
const KIND_MASK = 0xff;
const BRANCH = 0x01;
const LEAF = 0x02;
const OVERFLOW = 0x04;
/** Flags of a leaf's node: its value is on overflow pages, is a tree. */
export const NODE_ON_OVERFLOW = 0x01;
const NODE_IS_TREE = 0x02;

export interface OverflowPlace {
  readonly page: number;
  readonly pages: number;
  /** Of the value. */
  readonly valueBytes: number;
}

/** What a page points to, and what of it is unused. */
export interface LmdbPage {
  readonly children: readonly number[];
  readonly trees: readonly number[];
  readonly overflows: readonly OverflowPlace[];
  readonly slack: Buffer;
}

/**
 * @param bytes the whole page
 * @throws OpsError source-damaged
 */
export function parseLmdbPage(order: ByteOrder, bytes: Buffer, page: number): LmdbPage {
  const kind = order.u16(bytes, FLAGS_AT) & KIND_MASK;
  const number = order.u64(bytes, 0);
  if (number !== page) throw damaged(`page ${page} says it is page ${number}`);
  if (kind !== BRANCH && kind !== LEAF) {
    throw damaged(`page ${page} is neither a branch nor a leaf (flags 0x${kind.toString(16)})`);
  }
  const lower = PAGE_HEADER_BYTES + order.u16(bytes, LOWER_AT);
  const upper = PAGE_HEADER_BYTES + order.u16(bytes, UPPER_AT);
  if (lower > upper || upper > bytes.length || (lower & 1) !== 0) {
    throw damaged(`the unused part of page ${page} lies outside it`);
  }
  const found = { children: [] as number[], trees: [] as number[], overflows: [] as OverflowPlace[] };
  for (let at = PAGE_HEADER_BYTES; at < lower; at += 2) {
    const node = PAGE_HEADER_BYTES + order.u16(bytes, at);
    const data = node + NODE_HEADER_BYTES + keyBytesOf(order, bytes, node, upper, page);
    if (data > bytes.length) throw damaged(`a key of page ${page} lies outside it`);
    if (kind === BRANCH) found.children.push(childOf(order, bytes, node));
    else addLeafNode(order, bytes, { node, data, page }, found);
  }
  if (kind === BRANCH && found.children.length === 0)
    throw damaged(`page ${page} is a branch without children`);
  return { ...found, slack: bytes.subarray(lower, upper) };
}

function keyBytesOf(order: ByteOrder, bytes: Buffer, node: number, upper: number, page: number): number {
  if (node < upper || node + NODE_HEADER_BYTES > bytes.length) {
    throw damaged(`an entry of page ${page} lies outside it`);
  }
  return order.u16(bytes, node + 6);
}

function childOf(order: ByteOrder, bytes: Buffer, node: number): number {
  return order.u32(bytes, node) + order.u16(bytes, node + 4) * 2 ** 32;
}

function addLeafNode(
  order: ByteOrder,
  bytes: Buffer,
  { node, data, page }: { readonly node: number; readonly data: number; readonly page: number },
  found: { readonly trees: number[]; readonly overflows: OverflowPlace[] },
): void {
  const valueBytes = order.u32(bytes, node);
  const flags = order.u16(bytes, node + 4);
  const heldBytes = flags === NODE_ON_OVERFLOW ? OVERFLOW_PLACE_BYTES : valueBytes;
  if (data + heldBytes > bytes.length) throw damaged(`a value of page ${page} lies outside it`);
  if (flags === 0) return;
  if (flags === NODE_ON_OVERFLOW) {
    found.overflows.push(overflowPlaceAt(order, bytes, data, valueBytes));
  } else if (flags === NODE_IS_TREE && valueBytes === TREE_BYTES) {
    const root = rootOf(order, bytes, data);
    if (root !== undefined) found.trees.push(root);
  } else throw damaged(`an entry of page ${page} has flags that no store writes`);
}

/** @param at where a node's data begins */
export function overflowPlaceAt(
  order: ByteOrder,
  bytes: Buffer,
  at: number,
  valueBytes: number,
): OverflowPlace {
  return { page: order.u64(bytes, at), pages: order.u64(bytes, at + 16), valueBytes };
}

/** How many pages the overflow page whose beginning is given has; undefined: it is none, or not that of `page`. */
export function overflowPages(order: ByteOrder, bytes: Buffer, page: number): number | undefined {
  const isOne =
    bytes.length >= PAGE_HEADER_BYTES &&
    (order.u16(bytes, FLAGS_AT) & KIND_MASK) === OVERFLOW &&
    order.u64(bytes, 0) === page;
  return isOne ? order.u32(bytes, PAGES_AT) : undefined;
}
