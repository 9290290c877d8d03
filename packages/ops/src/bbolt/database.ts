/**
 * Reads a bbolt database (go.etcd.io/bbolt, file format version 2): buckets, their entries in key order, and which pages hold them.
 * Read-only, page by page, total: whatever the bytes, there is an answer or an OpsError, and every walk ends, because it enters no page
 * twice.
 */
import { readMeta, type BoltMeta } from './meta.js';
import {
  compareKeys,
  damaged,
  elementsEnd,
  fitsOverflow,
  lastEntryEnd,
  type LeafPage,
  PAGE_HEADER_BYTES,
  parsePage,
  type LeafElement,
} from './page.js';
import type { PageFile } from './page-file.js';
import { PageSet } from './page-set.js';

/** Deeper than any tree bbolt can make of a file whose page ids fit a number. */
const DEPTH_MAX = 64;
/** Page of the tree u64 ‖ sequence u64; page 0: the tree is one leaf behind this header. */
const BUCKET_HEADER_BYTES = 16;

/** A bucket's tree: on pages of its own, or one leaf inside its parent. */
export type BoltBucket =
  | { readonly kind: 'pages'; readonly rootPage: number }
  | { readonly kind: 'inline'; readonly leaf: LeafPage };

interface Level {
  readonly children: readonly number[];
  next: number;
}

export class BoltDatabase {
  readonly meta: BoltMeta;
  readonly #file: PageFile;

  /**
   * @param file ends with the last page, or has more behind it: pages beyond the high-water mark are not looked at
   * @throws OpsError source-damaged
   */
  constructor(file: PageFile) {
    this.#file = file;
    this.meta = readMeta(file);
    const { highWaterMark, pageBytes, rootPage } = this.meta;
    if (highWaterMark * pageBytes > file.sizeBytes) {
      throw damaged(
        `it is ${file.sizeBytes} bytes long and should be at least ${highWaterMark * pageBytes}: it was cut short`,
      );
    }
    this.#checkPageNumber(rootPage, 'the root bucket');
  }

  get root(): BoltBucket {
    return { kind: 'pages', rootPage: this.meta.rootPage };
  }

  /** A bucket by its name; undefined when there is none. */
  bucket(name: string, parent: BoltBucket = this.root): BoltBucket | undefined {
    const wanted = Buffer.from(name);
    for (const leaf of this.leafPages(parent)) {
      for (let index = 0; index < leaf.count; index++) {
        if (leaf.isBucket(index) && leaf.key(index).equals(wanted)) {
          return this.#parseBucket(leaf.value(index), name);
        }
      }
    }
    return undefined;
  }

  /** The entries of a bucket in key order, a leaf page at a time. Their Buffers stay valid. */
  *leaves(bucket: BoltBucket): Generator<readonly LeafElement[]> {
    for (const page of this.leafPages(bucket)) yield page.elements();
  }

  /** The same as pages, for who needs only some of it. */
  *leafPages(bucket: BoltBucket): Generator<LeafPage> {
    let last: LeafPage | undefined;
    for (const leaf of this.#leafPages(bucket, new PageSet(this.meta.highWaterMark))) {
      if (leaf.count === 0) continue;
      if (last !== undefined && compareKeys(last, last.count - 1, leaf, 0) >= 0) {
        throw damaged('keys of two pages are out of order');
      }
      last = leaf;
      yield leaf;
    }
  }

  /**
   * Pages that hold something: meta pages, the free list, and every tree with its nested buckets. What is not in it is free, whatever the
   * free list says, and holds what was there before.
   *
   * @throws OpsError source-damaged, also when two things claim one page
   */
  usedPages(): PageSet {
    const used = new PageSet(this.meta.highWaterMark);
    used.add(0);
    used.add(1);
    if (this.meta.freelistPage !== undefined) this.#claim(this.meta.freelistPage, used);
    const open: BoltBucket[] = [this.root];
    for (let bucket = open.pop(); bucket !== undefined; bucket = open.pop()) {
      for (const leaf of this.#leafPages(bucket, used)) {
        for (let index = 0; index < leaf.count; index++) {
          if (leaf.isBucket(index)) {
            open.push(this.#parseBucket(leaf.value(index), leaf.key(index).toString()));
          }
        }
      }
    }
    return used;
  }

  /** One page as it lies in the file, used or free. */
  rawPage(page: number): Buffer {
    return this.#file.read(page * this.meta.pageBytes, this.meta.pageBytes);
  }

  *#leafPages(bucket: BoltBucket, seen: PageSet): Generator<LeafPage> {
    if (bucket.kind === 'inline') {
      yield bucket.leaf;
      return;
    }
    const path: Level[] = [{ children: [bucket.rootPage], next: 0 }];
    for (let level = path.at(-1); level !== undefined; level = path.at(-1)) {
      const child = level.children[level.next++];
      if (child === undefined) {
        path.pop();
        continue;
      }
      const page = parsePage(this.#pageBytes(child, seen), `page ${child}`);
      if (page.kind === 'leaf') {
        if (page.count === 0 && path.length > 1) throw damaged(`page ${child} is a leaf without entries`);
        yield page;
      } else if (path.length < DEPTH_MAX) path.push({ children: page.children, next: 0 });
      else throw damaged(`the tree above page ${child} is deeper than any tree`);
    }
  }

  /** A page with its overflow; all of them are entered into `seen`. */
  #pageBytes(page: number, seen: PageSet): Buffer {
    const { pageBytes } = this.meta;
    const { first, overflow } = this.#claim(page, seen);
    if (overflow === 0) return first;
    // A page that says it is longer than what it holds would be read for nothing: up to the whole file.
    const tableEnd = elementsEnd(first);
    const table = tableEnd <= pageBytes ? first : this.#file.read(page * pageBytes, tableEnd);
    if (!fitsOverflow(lastEntryEnd(table), pageBytes, overflow)) {
      throw damaged(`page ${page} says it goes on for ${overflow} pages, which its entries do not fill`);
    }
    return this.#file.read(page * pageBytes, (overflow + 1) * pageBytes);
  }

  /** Enters a page and its overflow into `seen`. */
  #claim(page: number, seen: PageSet): { readonly first: Buffer; readonly overflow: number } {
    this.#checkPageNumber(page, 'a branch page');
    const first = this.rawPage(page);
    const id = first.readBigUInt64LE(0);
    if (id !== BigInt(page)) throw damaged(`page ${page} says it is page ${id}`);
    const overflow = first.readUInt32LE(12);
    if (page + overflow >= this.meta.highWaterMark)
      throw damaged(`page ${page} goes on beyond the last page`);
    for (let part = page; part <= page + overflow; part++) {
      if (seen.has(part)) throw damaged(`page ${part} is used twice`);
      seen.add(part);
    }
    return { first, overflow };
  }

  #checkPageNumber(page: number, from: string): void {
    if (page < 2 || page >= this.meta.highWaterMark) {
      throw damaged(`${from} points to page ${page}, and there are ${this.meta.highWaterMark}`);
    }
  }

  #parseBucket(value: Buffer, name: string): BoltBucket {
    if (value.length < BUCKET_HEADER_BYTES) throw damaged(`bucket ${JSON.stringify(name)} has no root`);
    const rootPage = Number(value.readBigUInt64LE(0));
    if (rootPage !== 0) return { kind: 'pages', rootPage };
    const bytes = value.subarray(BUCKET_HEADER_BYTES);
    const title = `the inline bucket ${JSON.stringify(name)}`;
    if (bytes.length < PAGE_HEADER_BYTES) throw damaged(`${title} has no page`);
    const leaf = parsePage(bytes, title);
    if (leaf.kind !== 'leaf') throw damaged(`${title} is a branch`);
    return { kind: 'inline', leaf };
  }
}
