/**
 * How the cache of records comes to be and stays true: every record is loaded page by page at one revision, then the store's watch
 * is followed; when the watch ends, everything is loaded again.
 */
import { prefixRangeEnd, type Store, StoreError, type Watch } from '@waxseal/storage';
import type { Logger } from 'pino';
import type { RecordCache } from './record-cache.js';
import type { ReplicaBarrier } from './replica-barrier.js';
import { RECORDS_PREFIX } from './store-keys.js';

const PAGE_SIZE = 1000;
const REWATCH_DELAY_MS = 1000;
/** Each loss means that another replica compacted meanwhile, which it does seldom. */
const MAX_ATTEMPTS = 16;

export class RecordFeed {
  readonly #store: Pick<Store, 'range' | 'watch'>;
  readonly #logger: Logger;
  readonly #cache: RecordCache;
  readonly #barrier: ReplicaBarrier | undefined;
  #watch: Watch | undefined;
  #closed = false;

  /** @param barrier told how far the cache has come */
  constructor(
    store: Pick<Store, 'range' | 'watch'>,
    logger: Logger,
    cache: RecordCache,
    barrier: ReplicaBarrier | undefined,
  ) {
    this.#store = store;
    this.#logger = logger;
    this.#cache = cache;
    this.#barrier = barrier;
  }

  close(): void {
    this.#closed = true;
    this.#watch?.cancel();
  }

  /** Resolves when everything is loaded and no later change will be missed. @throws KeyServiceError store-corrupt; StoreError */
  async load(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.loadOnce();
      } catch (error) {
        // Another replica compacted the revision that was being read, page by page.
        const compacted = error instanceof StoreError && error.code === 'compacted';
        if (!compacted || attempt === MAX_ATTEMPTS) throw error;
      }
    }
  }

  private async loadOnce(): Promise<void> {
    const rangeEnd = prefixRangeEnd(RECORDS_PREFIX);
    // The first load finds nothing that could be gone.
    const known = this.#cache.isEmpty ? undefined : new Set<string>();
    let revision: number | undefined;
    let from: Buffer | undefined = RECORDS_PREFIX;
    while (from !== undefined) {
      const page = await this.#store.range({
        key: from,
        rangeEnd,
        limit: PAGE_SIZE,
        revision,
        uncounted: true,
      });
      revision ??= page.revision;
      for (const kv of page.kvs) {
        this.#cache.load(kv);
        known?.add(kv.key.toString());
      }
      const last = page.kvs[page.kvs.length - 1];
      from = page.more && last !== undefined ? Buffer.concat([last.key, Buffer.alloc(1)]) : undefined;
    }
    if (known !== undefined) this.#cache.retain(known, revision ?? 0);
    this.#barrier?.saw(revision ?? 0);
    await this.follow(rangeEnd, revision ?? 0);
  }

  private async follow(rangeEnd: Buffer, revision: number): Promise<void> {
    if (this.#closed) return;
    this.#watch = this.#store.watch(
      { key: RECORDS_PREFIX, rangeEnd, startRevision: revision + 1 },
      {
        onEvents: (events, seen) => {
          for (const { type, kv } of events) {
            if (type === 'delete') this.#cache.delete(kv.key.toString(), kv.modRevision);
            else this.take(kv);
          }
          this.#cache.forgetTombstones(
            events.map(({ kv }) => kv.key.toString()),
            seen,
          );
          this.#barrier?.saw(seen);
        },
        onEnd: (reason) => {
          if (this.#closed || reason.kind === 'closed' || reason.kind === 'cancelled') return;
          this.#logger.warn({ reason: reason.kind }, 'the watch on keys ended; loading all keys again');
          this.reload();
        },
      },
    );
    await this.#watch.started;
  }

  private take(kv: Parameters<RecordCache['put']>[0]): void {
    try {
      this.#cache.put(kv);
    } catch (error) {
      // Another replica wrote what we cannot read: keep what we have, and say so.
      this.#logger.error({ err: error }, 'a changed record cannot be read; the older version stays in use');
    }
  }

  private reload(): void {
    setTimeout(() => {
      if (this.#closed) return;
      this.load().catch((error: unknown) => {
        this.#logger.error({ err: error }, 'keys cannot be loaded from the store; trying again');
        this.reload();
      });
    }, REWATCH_DELAY_MS).unref();
  }
}
