/**
 * Which pages of an LMDB file its trees hold, and what of them is unused. Read-only, page by page, total: whatever the bytes, there is an
 * answer or an OpsError, and every walk ends, because it enters no page twice.
 */
import { damaged } from '../bbolt/page.js';
import type { PageFile } from '../bbolt/page-file.js';
import type { PageSet } from '../bbolt/page-set.js';
import { PAGE_HEADER_BYTES, readLmdbMeta, type LmdbMeta } from './meta.js';
import { overflowPages, parseLmdbPage, type OverflowPlace } from './page.js';

/** Deeper than any tree LMDB makes. */
const DEPTH_MAX = 64;
const META_PAGES = 2;

export interface UsedPage {
  readonly page: number;
  /** Bytes of it, and of its overflow, that hold nothing. */
  readonly slack: Buffer;
}

interface Open {
  readonly page: number;
  readonly depth: number;
}

export class LmdbDatabase {
  readonly meta: LmdbMeta;
  /** In the file; the last may be cut short. Those behind the last page of the meta page were never committed, or are free. */
  readonly pageCount: number;
  readonly #file: PageFile;

  /** @throws OpsError source-damaged */
  constructor(file: PageFile) {
    this.#file = file;
    this.meta = readLmdbMeta(file);
    this.pageCount = Math.ceil(file.sizeBytes / this.meta.pageBytes);
  }

  /** One page as it lies in the file, used or free. */
  rawPage(page: number): Buffer {
    const position = page * this.meta.pageBytes;
    return this.#file.read(position, Math.min(this.meta.pageBytes, this.#file.sizeBytes - position));
  }

  /**
   * Every page that something points to, and enters it into `used`. What is not in it at the end is free, whatever the file's own list
   * says, and holds what was there before.
   *
   * @param used empty, for `pageCount` pages
   * @throws OpsError source-damaged, also when two things claim one page
   */
  *usedPages(used: PageSet): Generator<UsedPage> {
    for (let page = 0; page < META_PAGES; page++) used.add(page);
    const open: Open[] = this.meta.roots.flatMap((page) => (page === undefined ? [] : [{ page, depth: 0 }]));
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const { page, depth } = next;
      if (depth > DEPTH_MAX) throw damaged(`the tree above page ${page} is deeper than any tree`);
      this.#enter(used, page, 1);
      const { children, trees, overflows, slack } = parseLmdbPage(this.meta.order, this.rawPage(page), page);
      yield { page, slack };
      for (const place of overflows) yield { page: place.page, slack: this.#overflowSlack(used, place) };
      for (const child of children) open.push({ page: child, depth: depth + 1 });
      for (const root of trees) open.push({ page: root, depth: depth + 1 });
    }
  }

  #overflowSlack(used: PageSet, { page, pages, valueBytes }: OverflowPlace): Buffer {
    const { order, pageBytes } = this.meta;
    const endBytes = PAGE_HEADER_BYTES + valueBytes;
    if (pages !== Math.ceil(endBytes / pageBytes)) {
      throw damaged(`a value of ${valueBytes} bytes is said to have ${pages} pages`);
    }
    this.#enter(used, page, pages);
    if (overflowPages(order, this.rawPage(page), page) !== pages) {
      throw damaged(`page ${page} is not the overflow page it should be`);
    }
    const last = this.rawPage(page + pages - 1);
    return last.subarray(endBytes - (pages - 1) * pageBytes);
  }

  #enter(used: PageSet, page: number, pages: number): void {
    if (page < META_PAGES || page + pages - 1 > this.meta.lastPage) {
      throw damaged(`something points to page ${page}, and the last one is ${this.meta.lastPage}`);
    }
    if ((page + pages) * this.meta.pageBytes > this.#file.sizeBytes) {
      throw damaged(`it ends before page ${page + pages - 1}: it was cut short`);
    }
    for (let part = page; part < page + pages; part++) {
      if (used.has(part)) throw damaged(`page ${part} is used twice`);
      used.add(part);
    }
  }
}
