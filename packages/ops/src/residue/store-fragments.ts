/**
 * Values of the embedded store in bytes of its file that nothing points to any more: nodes of LMDB's leaf pages, whole or overwritten from
 * some byte on. `current` has the key itself in front of a record, `history` the key with every zero doubled ‖ 00 00 ‖ revision.
 */
import type { ByteOrder } from '../lmdb/meta.js';
import {
  NODE_HEADER_BYTES,
  NODE_ON_OVERFLOW,
  OVERFLOW_PLACE_BYTES,
  overflowPlaceAt,
  type OverflowPlace,
} from '../lmdb/page.js';
import { beginsRecord, isRecordOf, RECORD_HEADER_BYTES } from './store-record.js';

export type StoreFragment =
  | { readonly kind: 'value'; readonly key: Buffer; readonly value: Buffer; readonly isWhole: boolean }
  /** The record is on pages of its own. */
  | { readonly kind: 'place'; readonly key: Buffer; readonly place: OverflowPlace };

const HISTORY_TAIL_BYTES = 10;
const PRINTABLE_FIRST = 0x21;
const PRINTABLE_LAST = 0x7e;

export interface StoreFragmentSearch {
  readonly order: ByteOrder;
  /** What keys begin with: `/registry/`. */
  readonly prefix: Buffer;
  /** The store's newest. */
  readonly revisionMax: number;
}

/** @param bytes of one page, or a part of it */
export function* findStoreFragments(bytes: Buffer, search: StoreFragmentSearch): Generator<StoreFragment> {
  const { prefix } = search;
  for (let at = bytes.indexOf(prefix); at !== -1; at = bytes.indexOf(prefix, at + prefix.length)) {
    const fragment = at < NODE_HEADER_BYTES ? undefined : fragmentAt(bytes, at, search);
    if (fragment !== undefined) yield fragment;
  }
}

function fragmentAt(
  bytes: Buffer,
  keyAt: number,
  { order, revisionMax }: StoreFragmentSearch,
): StoreFragment | undefined {
  const node = keyAt - NODE_HEADER_BYTES;
  const valueBytes = order.u32(bytes, node);
  const flags = order.u16(bytes, node + 4);
  const dataAt = keyAt + order.u16(bytes, node + 6);
  if (dataAt > bytes.length || valueBytes <= RECORD_HEADER_BYTES) return undefined;
  const key = ownerOf(bytes.subarray(keyAt, dataAt));
  if (key === undefined) return undefined;
  if (flags === NODE_ON_OVERFLOW) {
    if (dataAt + OVERFLOW_PLACE_BYTES > bytes.length) return undefined;
    return { kind: 'place', key, place: overflowPlaceAt(order, bytes, dataAt, valueBytes) };
  }
  if (flags !== 0) return undefined;
  const record = bytes.subarray(dataAt, dataAt + valueBytes);
  if (!beginsRecord(record, revisionMax)) return undefined;
  const isWhole = record.length === valueBytes && isRecordOf(key, record);
  return { kind: 'value', key, value: record.subarray(RECORD_HEADER_BYTES), isWhole };
}

/** The key of the API server; its keys are printable, so that neither form is taken for the other. */
function ownerOf(bytes: Buffer): Buffer | undefined {
  const tail = bytes.length - HISTORY_TAIL_BYTES;
  const isHistory = tail > 0 && bytes.readUInt16BE(tail) === 0;
  const key = isHistory ? bytes.subarray(0, tail) : bytes;
  return key.every((byte) => byte >= PRINTABLE_FIRST && byte <= PRINTABLE_LAST) ? key : undefined;
}
