/**
 * What lies in the embedded store's file besides its trees: free pages, and unused bytes of pages in use. LMDB never clears a page it frees
 * and writes changed pages elsewhere, so old values stay until the page is used again or the file is written anew.
 *
 * Small records lie in leaf pages with their keys. Large ones are on overflow pages without: the key is in the leaf that pointed there,
 * which may be free too, or used again since. So places found on the way are kept, and the checksum of the record says whose it is.
 */
import { setImmediate } from 'node:timers/promises';
import { openPageFile, type PageFile } from '../bbolt/page-file.js';
import { PageSet } from '../bbolt/page-set.js';
import { OpsError } from '../errors.js';
import { LmdbDatabase } from '../lmdb/database.js';
import { PAGE_HEADER_BYTES, readLmdbMeta } from '../lmdb/meta.js';
import { overflowPages } from '../lmdb/page.js';
import type { Leftovers, ResiduePlace } from './leftovers.js';
import { findStoreFragments, type StoreFragmentSearch } from './store-fragments.js';
import { beginsRecord, isRecordOf, RECORD_HEADER_BYTES } from './store-record.js';

export interface StoreSearch {
  /** data.mdb */
  readonly path: string;
  readonly prefix: Buffer;
  /** The store's newest. */
  readonly revision: number;
  readonly leftovers: Leftovers;
  readonly remedy: string;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const PAGES_PER_TURN = 1024;
/** A page is used again and again: older places are of no use. */
const OWNERS_MAX = 4;
/** The store takes none this large. */
const VALUE_BYTES_MAX = 2 * 1024 * 1024;

interface Owner {
  readonly key: Buffer;
  readonly valueBytes: number;
}

/** @throws OpsError source-unreadable, also when the store was written to meanwhile; source-damaged */
export async function searchStoreFile(search: StoreSearch): Promise<void> {
  const file = openPageFile(search.path);
  try {
    const before = readLmdbMeta(file).transaction;
    await new StoreFileSearch(search, file).run();
    file.forget();
    if (readLmdbMeta(file).transaction !== before) {
      throw new OpsError(
        'source-unreadable',
        `${search.path} was written to while it was read; run it again.`,
      );
    }
  } catch (error) {
    if (!(error instanceof OpsError) || error.code !== 'source-damaged') throw error;
    throw new OpsError(
      'source-damaged',
      `${search.path} cannot be searched: ${error.message}. Restore the data directory from a backup.`,
      error,
    );
  } finally {
    file.close();
  }
}

class StoreFileSearch {
  readonly #search: StoreSearch;
  readonly #database: LmdbDatabase;
  readonly #used: PageSet;
  readonly #fragments: StoreFragmentSearch;
  /** First overflow page → who had it. */
  readonly #owners = new Map<number, Owner[]>();
  #turn = 0;

  constructor(search: StoreSearch, file: PageFile) {
    this.#search = search;
    this.#database = new LmdbDatabase(file);
    this.#used = new PageSet(this.#database.pageCount);
    const { order } = this.#database.meta;
    this.#fragments = { order, prefix: search.prefix, revisionMax: search.revision };
  }

  async run(): Promise<void> {
    for (const { slack } of this.#database.usedPages(this.#used)) {
      await this.#breathe(0);
      this.#searchBytes('page-slack', slack);
    }
    const { pageCount, meta } = this.#database;
    const overflows: number[] = [];
    for (let page = 0; page < pageCount; page++) {
      await this.#breathe(page);
      if (this.#used.has(page)) continue;
      const bytes = this.#database.rawPage(page);
      this.#searchBytes('free-pages', bytes);
      if (overflowPages(meta.order, bytes, page) !== undefined) overflows.push(page);
    }
    for (const page of overflows) {
      await this.#breathe(pageCount);
      this.#searchOverflow(page);
    }
    this.#search.onProgress?.(pageCount, pageCount);
  }

  async #breathe(page: number): Promise<void> {
    if (this.#turn++ % PAGES_PER_TURN !== 0) return;
    this.#search.signal?.throwIfAborted();
    this.#search.onProgress?.(page, this.#database.pageCount);
    await setImmediate();
  }

  #searchBytes(place: ResiduePlace, bytes: Buffer): void {
    for (const fragment of findStoreFragments(bytes, this.#fragments)) {
      const { key } = fragment;
      if (fragment.kind === 'value') {
        this.#search.leftovers.add(this.#finding(place), key, fragment.value, fragment.isWhole);
        continue;
      }
      const { page, valueBytes } = fragment.place;
      if (page >= this.#database.pageCount || this.#used.has(page)) continue;
      const owners = this.#owners.get(page) ?? [];
      if (owners.length < OWNERS_MAX) owners.push({ key: Buffer.from(key), valueBytes });
      this.#owners.set(page, owners);
    }
  }

  #searchOverflow(page: number): void {
    const { order } = this.#database.meta;
    const pages = overflowPages(order, this.#database.rawPage(page), page);
    if (pages === undefined) return;
    const record = this.#freeBytes(page, pages).subarray(PAGE_HEADER_BYTES);
    if (!beginsRecord(record, this.#search.revision)) return;
    const { leftovers } = this.#search;
    const finding = this.#finding('free-pages');
    for (const { key, valueBytes } of this.#owners.get(page) ?? []) {
      const whole = record.subarray(0, valueBytes);
      if (whole.length !== valueBytes || !isRecordOf(key, whole)) continue;
      leftovers.add(finding, key, whole.subarray(RECORD_HEADER_BYTES));
      return;
    }
    leftovers.addKeyless(finding, withoutPadding(record.subarray(RECORD_HEADER_BYTES)), false);
  }

  /** The pages from `page` on, up to the first that is used again. */
  #freeBytes(page: number, pages: number): Buffer {
    const pagesMax = Math.ceil(VALUE_BYTES_MAX / this.#database.meta.pageBytes);
    const end = Math.min(page + Math.min(pages, pagesMax), this.#database.pageCount);
    const parts: Buffer[] = [];
    for (let part = page; part < end && !this.#used.has(part); part++)
      parts.push(this.#database.rawPage(part));
    return Buffer.concat(parts);
  }

  #finding(place: ResiduePlace): { source: string; place: ResiduePlace; remedy: string } {
    return { source: `data file ${this.#search.path}`, place, remedy: this.#search.remedy };
  }
}

/** How long it was is lost with its key, but LMDB fills its last page with zeros; behind the ciphertext of KMS v2 stands the keyID. */
function withoutPadding(value: Buffer): Buffer {
  let end = value.length;
  while (end > 0 && value[end - 1] === 0) end--;
  return value.subarray(0, end);
}
