/**
 * What lies in a database file of etcd besides live values: older revisions, pages that are free, and bytes behind the entries of pages
 * in use. bbolt never clears a page it frees, and writes changed pages elsewhere, so old values stay until the page is used again or the
 * file is written anew, which is what defragmentation does.
 */
import { setImmediate } from 'node:timers/promises';
import type { BoltDatabase } from '../bbolt/database.js';
import { LeafPage, PAGE_HEADER_BYTES, parsePage } from '../bbolt/page.js';
import type { SnapshotSource } from '../sources/snapshot-source.js';
import { findFragments } from './fragments.js';
import type { Leftovers, ResiduePlace } from './leftovers.js';

/** Free pages are searched so many bytes at once, … */
const WINDOW_BYTES = 8 * 1024 * 1024;
/** … and the next begins so far before the end: a value is at most as large as etcd takes. */
const OVERLAP_BYTES = 2 * 1024 * 1024;
const BRANCH_ENTRY_BYTES = 16;
const BRANCH_FLAG = 0x01;
const LEAF_FLAG = 0x02;
const PAGES_PER_TURN = 256;

export interface DatabaseSearch {
  readonly source: SnapshotSource;
  readonly prefix: Buffer;
  readonly leftovers: Leftovers;
  /** What removes what is found at a place. */
  readonly remedy: (place: ResiduePlace) => string;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @throws OpsError source-unreadable, source-damaged */
export async function searchDatabase(search: DatabaseSearch): Promise<void> {
  const { source, prefix, leftovers, remedy, onProgress, signal } = search;
  for await (const { key, value } of source.past(prefix)) {
    leftovers.add({ source: source.name, place: 'history', remedy: remedy('history') }, key, value);
  }
  const { bolt } = source.database;
  const { highWaterMark } = bolt.meta;
  const used = bolt.usedPages();
  for (let page = 0, turn = 0; page < highWaterMark; turn++) {
    if (turn % PAGES_PER_TURN === 0) {
      signal?.throwIfAborted();
      onProgress?.(page, highWaterMark);
      await setImmediate();
    }
    if (used.has(page)) {
      const { pages, slack } = slackOf(bolt, page);
      addFragments(search, 'page-slack', slack);
      page += pages;
      continue;
    }
    const pageLimit = Math.floor(WINDOW_BYTES / bolt.meta.pageBytes);
    let end = page + 1;
    while (end < highWaterMark && !used.has(end) && end - page < pageLimit) end++;
    const goesOn = end < highWaterMark && !used.has(end);
    const run = readPages(bolt, page, end);
    const searchedBytes = goesOn ? run.length - OVERLAP_BYTES : run.length;
    addFragments(search, 'free-pages', run, searchedBytes);
    page += Math.ceil(searchedBytes / bolt.meta.pageBytes);
  }
  onProgress?.(highWaterMark, highWaterMark);
}

/** @param before only what begins before it: the rest is searched again with what follows */
function addFragments(
  { source, prefix, leftovers, remedy }: DatabaseSearch,
  place: ResiduePlace,
  bytes: Buffer,
  before = bytes.length,
): void {
  const finding = { source: source.name, place, remedy: remedy(place) };
  for (const { at, key, value, isWhole } of findFragments(bytes, prefix)) {
    if (at < before) leftovers.add(finding, key, value, isWhole);
  }
}

function readPages(bolt: BoltDatabase, from: number, end: number): Buffer {
  return Buffer.concat(Array.from({ length: end - from }, (_, index) => bolt.rawPage(from + index)));
}

/** What is behind the last entry of a page in use, and how many pages it has with its overflow. */
function slackOf(bolt: BoltDatabase, page: number): { readonly pages: number; readonly slack: Buffer } {
  const first = bolt.rawPage(page);
  const flags = first.readUInt16LE(8);
  // Meta pages and the list of free pages hold no values, and never did where they are.
  if (flags !== LEAF_FLAG && flags !== BRANCH_FLAG) {
    return { pages: page < 2 ? 1 : 1 + first.readUInt32LE(12), slack: Buffer.alloc(0) };
  }
  const pages = 1 + first.readUInt32LE(12);
  const bytes = pages === 1 ? first : readPages(bolt, page, page + pages);
  return { pages, slack: bytes.subarray(entriesEnd(bytes, page)) };
}

function entriesEnd(bytes: Buffer, page: number): number {
  const parsed = parsePage(bytes, `page ${page}`);
  let end = PAGE_HEADER_BYTES;
  if (parsed instanceof LeafPage) {
    for (let index = 0; index < parsed.count; index++) end = Math.max(end, parsed.endAt(index));
    return end;
  }
  for (let index = 0; index < parsed.children.length; index++) {
    const at = PAGE_HEADER_BYTES + index * BRANCH_ENTRY_BYTES;
    end = Math.max(end, at + bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4));
  }
  return end;
}
