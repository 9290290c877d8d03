/** The keys of a keyspace, page by page at one revision, the next page being read while the last one is worked on. */
import { prefixRangeEnd, StoreError, type KeyValue, type RangeResult, type Store } from '@waxseal/storage';
import type { Patience } from './store-patience.js';

/** What a page should hold; values are a kilobyte or two, but may be a thousand times as large. */
const PAGE_BYTES = 1 << 20;
const MAX_PAGE_KEYS = 512;
const FIRST_PAGE_KEYS = 32;

/**
 * @param after begin behind this key
 * @throws OpsError source-unreadable
 */
export async function* pagesOf(
  store: Store,
  patience: Patience,
  prefix: Buffer,
  after?: Buffer,
): AsyncGenerator<readonly KeyValue[]> {
  const rangeEnd = prefixRangeEnd(prefix);
  let revision: number | undefined;
  let limit = FIRST_PAGE_KEYS;
  const read = async (key: Buffer): Promise<RangeResult> => {
    const page = (at: number | undefined): Promise<RangeResult> =>
      patience(() => store.range({ key, rangeEnd, limit, revision: at, uncounted: true }));
    try {
      return await page(revision);
    } catch (error) {
      // API servers compact every five minutes. What was written since is either not stale or found at the end.
      if (!(error instanceof StoreError) || error.code !== 'compacted') throw error;
      revision = undefined;
      return page(undefined);
    }
  };
  let next: Promise<RangeResult> | undefined = read(after === undefined ? prefix : behind(after));
  while (next !== undefined) {
    const page: RangeResult = await next;
    revision ??= page.revision;
    const last = page.kvs.at(-1);
    if (last === undefined) return;
    const bytes = page.kvs.reduce((sum, kv) => sum + kv.key.length + kv.value.length, 0);
    limit = Math.max(1, Math.min(MAX_PAGE_KEYS, Math.floor((PAGE_BYTES * page.kvs.length) / bytes)));
    next = page.more ? read(behind(last.key)) : undefined;
    // Who stops here never asks for it.
    next?.catch(() => undefined);
    yield page.kvs;
  }
}

function behind(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.from([0])]);
}

/** Number of keys now. */
export async function countKeys(store: Store, patience: Patience, prefix: Buffer): Promise<number> {
  const { count } = await patience(() =>
    store.range({ key: prefix, rangeEnd: prefixRangeEnd(prefix), countOnly: true }),
  );
  return count;
}
