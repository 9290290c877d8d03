/** The keys of a keyspace, page by page at one revision, the next page being read while the last one is worked on. */
import { prefixRangeEnd, StoreError, type KeyValue, type RangeResult, type Store } from '@waxseal/storage';
import type { Patience } from './store-patience.js';

/**
 * What one answer should hold; values are a kilobyte or two, but may be a thousand times as large. etcd walks over every key behind an answer to
 * count it, asked or not: with answers of 1 MiB a million keys were read at 2,000 a second.
 */
const ANSWER_BYTES = 4 << 20;
const MAX_ANSWER_KEYS = 4096;
const FIRST_ANSWER_KEYS = 32;
/** A page is the part of an answer that is done, and noted in the checkpoint, as one. */
const MAX_PAGE_KEYS = 512;

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
  let limit = FIRST_ANSWER_KEYS;
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
    const { kvs, more, revision: at }: RangeResult = await next;
    revision ??= at;
    const last = kvs.at(-1);
    if (last === undefined) return;
    const bytes = kvs.reduce((sum, kv) => sum + kv.key.length + kv.value.length, 0);
    const fitting = Math.floor((ANSWER_BYTES * kvs.length) / bytes);
    // Never many times more than before: the next values may be larger.
    limit = Math.max(1, Math.min(fitting, limit * 4, MAX_ANSWER_KEYS));
    next = more ? read(behind(last.key)) : undefined;
    // Who stops here never asks for it.
    next?.catch(() => undefined);
    for (let first = 0; first < kvs.length; first += MAX_PAGE_KEYS) {
      yield kvs.slice(first, first + MAX_PAGE_KEYS);
    }
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
