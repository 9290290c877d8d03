/**
 * Where stored values come from: a live etcd, a snapshot file, the database file of a stopped member, or the embedded store.
 */

/** One stored value at one revision. Its Buffers may be views: copy what is kept. */
export interface StoredKeyValue {
  /** The whole key, prefix included: `/registry/secrets/ns/name`. */
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** 0n: none. */
  readonly lease: bigint;
}

/** A revision that is not the newest of its key. */
export interface PastKeyValue extends StoredKeyValue {
  /** Revision of the put that replaced it. Undefined: it was the last value of its key, which was deleted. */
  readonly supersededBy: number | undefined;
}

export interface Source {
  /** For messages: `etcd https://…`, `snapshot FILE`, `data directory DIR`. */
  readonly name: string;
  /** Revision everything is read at. */
  readonly revision: number;
  /** First revision whose history can still be read; equal to `revision` when there is no history. */
  readonly compactRevision: number;
  /**
   * Every live key under the prefix, in ascending key order for stores and etcd, in order of revision for files. Memory does not grow
   * with values.
   *
   * @throws OpsError source-unreadable, source-damaged
   */
  live(prefix: Buffer): AsyncIterable<StoredKeyValue>;
  /** The same, many at once: handing them over one by one is a large part of reading them all. */
  livePages?(prefix: Buffer): AsyncIterable<readonly StoredKeyValue[]>;
  /** What `live` hands out under any of the prefixes, in one pass; a source without it is read once for each. */
  liveUnder?(prefixes: readonly Buffer[]): AsyncIterable<StoredKeyValue>;
  /** Values that are still there but no longer live: older revisions not yet compacted. Empty where a source has none. */
  past(prefix: Buffer): AsyncIterable<PastKeyValue>;
  /** How many live keys there are, about: for progress. */
  countLive?(prefix: Buffer): Promise<number>;
  close(): Promise<void>;
}

/** What a source has, many at once, whether it can do so itself or not. */
export function livePagesOf(source: Source, prefix: Buffer): AsyncIterable<readonly StoredKeyValue[]> {
  return source.livePages?.(prefix) ?? onePages(source.live(prefix));
}

/** Live values under several prefixes, none of which begins with another. */
export async function* liveUnder(
  source: Source,
  prefixes: readonly Buffer[],
): AsyncGenerator<StoredKeyValue> {
  if (source.liveUnder !== undefined) yield* source.liveUnder(prefixes);
  else for (const prefix of prefixes) yield* source.live(prefix);
}

async function* onePages<T>(values: AsyncIterable<T>): AsyncGenerator<readonly T[]> {
  for await (const value of values) yield [value];
}

/** Pages as single values. */
export async function* eachOf<T>(pages: AsyncIterable<readonly T[]>): AsyncGenerator<T> {
  for await (const page of pages) {
    for (const value of page) yield value;
  }
}
