/**
 * A live etcd, or the embedded store of a data directory, as a source: everything is read page by page at one revision, the next page
 * asked for while the one before is used. History comes as watches hand it out, with previous values.
 */
import type { KeyValue, RangeResult, Store } from '@waxseal/storage';
import { pastOf } from './store-history.js';
import { rangeOf, readable } from './store-reading.js';
import { eachOf, type Source, type StoredKeyValue } from './source.js';

/**
 * What one answer should hold. etcd walks over every key behind a page to count it (3.4 even collects them), whatever is asked: small pages make
 * reading a million keys quadratic.
 */
const PAGE_BYTES = 16 * 1024 * 1024;
const PAGE_KEYS_FIRST = 1_000;
/** The next values may be larger than the last ones: so many of 10 KiB are still no harm. */
const PAGE_KEYS_MAX = 20_000;
/** etcd's revision of an empty database. */
const FIRST_REVISION = 1;

/**
 * @param name for messages: `etcd https://…`
 * @throws OpsError source-unreadable
 */
export async function storeSource(name: string, store: Store): Promise<Source> {
  const { revision, compactRevision } = await readable(name, store.status());
  return {
    name,
    revision,
    compactRevision: Math.max(FIRST_REVISION, compactRevision),
    countLive: async (prefix) => {
      const range = { ...rangeOf(prefix), revision, countOnly: true };
      return (await readable(name, store.range(range))).count;
    },
    live: (prefix) => eachOf(livePages(name, store, revision, prefix)),
    livePages: (prefix) => livePages(name, store, revision, prefix),
    past: (prefix) => pastOf(name, store, { fromRevision: compactRevision, revision, prefix }),
    close: () => store.close(),
  };
}

async function* livePages(
  name: string,
  store: Store,
  revision: number,
  prefix: Buffer,
): AsyncGenerator<readonly StoredKeyValue[]> {
  const { rangeEnd } = rangeOf(prefix);
  const read = (key: Buffer, limit: number): Promise<RangeResult> => {
    const page = readable(name, store.range({ key, rangeEnd, revision, limit, uncounted: true }));
    // Who stops reading early never looks at the page that is under way.
    page.catch(() => undefined);
    return page;
  };
  let limit = PAGE_KEYS_FIRST;
  let next: Promise<RangeResult> | undefined = read(rangeOf(prefix).key, limit);
  while (next !== undefined) {
    const { kvs, more }: RangeResult = await next;
    const last = kvs.at(-1);
    limit = nextLimit(kvs, limit);
    next = more && last !== undefined ? read(Buffer.concat([last.key, Buffer.from([0])]), limit) : undefined;
    yield kvs;
  }
}

/** As many keys as fill a page at the size of the last ones; never many times more than before, as the next may be larger. */
function nextLimit(kvs: readonly KeyValue[], limit: number): number {
  let bytes = 0;
  for (const { key, value } of kvs) bytes += key.length + value.length;
  const fitting = Math.floor((PAGE_BYTES * Math.max(1, kvs.length)) / Math.max(1, bytes));
  return Math.max(1, Math.min(fitting, limit * 4, PAGE_KEYS_MAX));
}
