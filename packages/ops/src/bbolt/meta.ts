/**
 * The two meta pages of a bbolt database (go.etcd.io/bbolt, file format version 2). Transactions write them in turn; the valid one with
 * the higher transaction id is the database, the other the state before.
 *
 * Page header: id u64 ‖ flags u16 ‖ count u16 ‖ overflow u32. Meta, behind it: magic u32 ‖ version u32 ‖ page size u32 ‖ flags u32 ‖ root
 * bucket (page u64 ‖ sequence u64) ‖ free list u64 ‖ high-water mark u64 ‖ transaction id u64 ‖ FNV-1a 64 of all before. Little-endian.
 */
import { OpsError } from '../errors.js';
import type { PageFile } from './page-file.js';

export interface BoltMeta {
  readonly pageBytes: number;
  /** Page of the root bucket's tree. */
  readonly rootPage: number;
  /** Undefined: the free list is not kept in the file, as etcd 3.4 and later have it. */
  readonly freelistPage: number | undefined;
  /** Pages from this one on were never used. */
  readonly highWaterMark: number;
  readonly transactionId: bigint;
}

const PAGE_HEADER_BYTES = 16;
const META_BYTES = 64;
const META_FLAG = 0x04;
const MAGIC = 0xed0cdaed;
const VERSION = 2;
const NO_FREELIST = 0xffff_ffff_ffff_ffffn;
/** bbolt's own bounds: the smallest page of any system it runs on, and the largest it tries when the first meta page is gone. */
const PAGE_BYTES_MIN = 512;
const PAGE_BYTES_MAX = 16 * 1024 * 1024;
/** Where the second meta page may lie when the first does not say. */
const LIKELY_PAGE_BYTES = [4096, 8192, 16384, 32768, 65536, 1024, 2048];

type Parsed = { readonly meta: BoltMeta } | { readonly problem: string };

/** @throws OpsError source-damaged when neither page is valid */
export function readMeta(file: PageFile): BoltMeta {
  const first = parseAt(file, 0);
  const candidates = 'meta' in first ? [first.meta.pageBytes] : LIKELY_PAGE_BYTES;
  let best = 'meta' in first ? first.meta : undefined;
  for (const pageBytes of candidates) {
    const second = parseAt(file, pageBytes);
    if (!('meta' in second) || second.meta.pageBytes !== pageBytes) continue;
    if (best === undefined || second.meta.transactionId > best.transactionId) best = second.meta;
    break;
  }
  if (best === undefined) {
    throw new OpsError(
      'source-damaged',
      `neither of its two first pages is a bbolt meta page (${'problem' in first ? first.problem : ''})`,
    );
  }
  return best;
}

function parseAt(file: PageFile, position: number): Parsed {
  if (position + PAGE_HEADER_BYTES + META_BYTES > file.sizeBytes) return { problem: 'it is too short' };
  const page = file.read(position, PAGE_HEADER_BYTES + META_BYTES);
  const meta = page.subarray(PAGE_HEADER_BYTES);
  if (meta.readUInt32LE(0) !== MAGIC) return { problem: 'the magic number is another' };
  if (meta.readUInt32LE(4) !== VERSION) return { problem: `format version ${meta.readUInt32LE(4)} is not 2` };
  if (meta.readBigUInt64LE(56) !== fnv1a64(meta.subarray(0, 56))) return { problem: 'the checksum is wrong' };
  if ((page.readUInt16LE(8) & META_FLAG) === 0) return { problem: 'the page is not marked as one' };
  const pageBytes = meta.readUInt32LE(8);
  if (pageBytes < PAGE_BYTES_MIN || pageBytes > PAGE_BYTES_MAX || (pageBytes & (pageBytes - 1)) !== 0) {
    return { problem: `a page size of ${pageBytes} bytes` };
  }
  const freelist = meta.readBigUInt64LE(32);
  return {
    meta: {
      pageBytes,
      rootPage: Number(meta.readBigUInt64LE(16)),
      freelistPage: freelist === NO_FREELIST ? undefined : Number(freelist),
      highWaterMark: Number(meta.readBigUInt64LE(40)),
      transactionId: meta.readBigUInt64LE(48),
    },
  };
}

function fnv1a64(bytes: Buffer): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}
