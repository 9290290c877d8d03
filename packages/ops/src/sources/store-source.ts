/**
 * A live etcd, or the embedded store of a data directory, as a source: everything is read page by page at one revision, the next page
 * asked for while the one before is used. History comes as watches hand it out, with previous values.
 */
import type { KeyValue, RangeResult, Store } from '@waxseal/storage';
import { pastOf } from './store-history.js';
import { isCompacted, rangeOf, readable } from './store-reading.js';
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

export interface StoreSourceOptions {
  /**
   * What to do when the revision that is being read is compacted. `go-on` reads the rest at the newest one: what was there all the time is read
   * once, what changed meanwhile as it was or as it is. Default `refuse`.
   */
  readonly whenCompacted?: 'refuse' | 'go-on' | undefined;
  /** Aborted, reading ends at once with OpsError interrupted. */
  readonly signal?: AbortSignal | undefined;
  /** How long reading history waits for a store that sends nothing; default 60 s. */
  readonly silenceMs?: number | undefined;
}

/**
 * @param name for messages: `etcd https://…`
 * @throws OpsError source-unreadable
 */
export async function storeSource(
  name: string,
  store: Store,
  options: StoreSourceOptions = {},
): Promise<Source> {
  const { signal, silenceMs } = options;
  const { revision, compactRevision } = await readable(name, store.status(), signal);
  return {
    name,
    revision,
    compactRevision: Math.max(FIRST_REVISION, compactRevision),
    countLive: async (prefix) => {
      const range = { ...rangeOf(prefix), revision, countOnly: true };
      return (await readable(name, store.range(range), signal)).count;
    },
    live: (prefix) => eachOf(livePages(name, store, revision, prefix, options)),
    livePages: (prefix) => livePages(name, store, revision, prefix, options),
    past: (prefix) =>
      pastOf(name, store, { fromRevision: compactRevision, revision, prefix, signal, silenceMs }),
    close: () => store.close(),
  };
}

async function* livePages(
  name: string,
  store: Store,
  revision: number,
  prefix: Buffer,
  { whenCompacted = 'refuse', signal }: StoreSourceOptions,
): AsyncGenerator<readonly StoredKeyValue[]> {
  const { rangeEnd } = rangeOf(prefix);
  let at = revision;
  const page = (key: Buffer, limit: number): Promise<RangeResult> =>
    readable(name, store.range({ key, rangeEnd, revision: at, limit, uncounted: true }), signal);
  const read = async (key: Buffer, limit: number): Promise<RangeResult> => {
    try {
      return await page(key, limit);
    } catch (error) {
      if (whenCompacted === 'refuse' || !isCompacted(error)) throw error;
      at = (await readable(name, store.get(key), signal)).revision;
      return page(key, limit);
    }
  };
  let limit = PAGE_KEYS_FIRST;
  let next: Promise<RangeResult> | undefined = read(rangeOf(prefix).key, limit);
  while (next !== undefined) {
    const { kvs, more }: RangeResult = await next;
    const last = kvs.at(-1);
    limit = nextLimit(kvs, limit);
    next = more && last !== undefined ? read(Buffer.concat([last.key, Buffer.from([0])]), limit) : undefined;
    // Who stops reading early never looks at the page that is under way.
    next?.catch(() => undefined);
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
