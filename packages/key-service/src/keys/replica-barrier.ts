/**
 * Several replicas over one store answer as if they were one: a change that was answered anywhere is seen by every call that comes
 * after it, anywhere.
 *
 * Every transaction that changes a record also writes one small key. A call waits until a linearisable read of that key, begun after
 * the call arrived, has said which change was the last, and until the cache has taken it in. Calls that arrive together share the
 * read: one is under way at most, and one waits. Nothing depends on clocks or on knowing the other replicas; a replica
 * that cannot reach the store, or whose watch stands still, refuses rather than answers from an old cache.
 */
import { prefixRangeEnd, type Op, type Store, StoreError } from '@waxseal/storage';
import { LAST_CHANGE, RECORDS_PREFIX } from './store-keys.js';

/** A watch that brings nothing for this long has lost its store; the call is refused and can be repeated. */
const WATCH_WAIT_MS = 5_000;

interface Waiting {
  readonly revision: number;
  readonly resolve: () => void;
}

export class ReplicaBarrier {
  readonly #store: Pick<Store, 'get'>;
  #seen = 0;
  #waiting: Waiting[] = [];
  #reading: ReturnType<Store['get']> | undefined;
  #next: Promise<void> | undefined;

  constructor(store: Pick<Store, 'get'>) {
    this.#store = store;
  }

  /** The cache holds everything up to `revision`. */
  saw(revision: number): void {
    if (revision <= this.#seen) return;
    this.#seen = revision;
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((one) => one.revision > revision);
    for (const one of waiting) if (one.revision <= revision) one.resolve();
  }

  /** Resolves when the cache holds every change answered before this call. @throws StoreError unavailable, timeout */
  pass(): Promise<void> {
    const reading = this.#reading;
    if (reading === undefined) return this.run();
    // A read that is under way may have been answered already: it proves nothing about what was changed since.
    this.#next ??= reading.catch(() => undefined).then(() => this.run());
    return this.#next;
  }

  private async run(): Promise<void> {
    this.#next = undefined;
    const reading = this.#store.get(LAST_CHANGE);
    this.#reading = reading;
    try {
      await reading;
    } finally {
      if (this.#reading === reading) this.#reading = undefined;
    }
    await this.waitFor((await reading).kv?.modRevision ?? 0);
  }

  private async waitFor(revision: number): Promise<void> {
    if (revision <= this.#seen) return;
    let timer: NodeJS.Timeout | undefined;
    const seen = new Promise<void>((resolve, reject) => {
      const waiting = { revision, resolve };
      this.#waiting.push(waiting);
      timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((one) => one !== waiting);
        reject(
          new StoreError(
            'timeout',
            `The changes of other replicas did not arrive within ${WATCH_WAIT_MS} ms.`,
          ),
        );
      }, WATCH_WAIT_MS);
    });
    await seen.finally(() => clearTimeout(timer));
  }
}

/** What the records are read and written by. */
export type RecordStore = Pick<Store, 'get' | 'range' | 'txn' | 'watch' | 'compact'>;

/** The same store, with LAST_CHANGE written by every transaction that changes a record. */
export function markChanges(store: Store): RecordStore {
  const rangeEnd = prefixRangeEnd(RECORDS_PREFIX);
  const changesRecords = (op: Op): boolean =>
    (op.kind === 'put' || op.kind === 'delete') &&
    Buffer.compare(op.key, RECORDS_PREFIX) >= 0 &&
    Buffer.compare(op.key, rangeEnd) < 0;
  const marked = (ops: readonly Op[]): readonly Op[] =>
    ops.some(changesRecords)
      ? [...ops, { kind: 'put', key: LAST_CHANGE, value: Buffer.from('{"version":1}') }]
      : ops;
  return {
    get: (key, revision) => store.get(key, revision),
    range: (request) => store.range(request),
    txn: ({ compare, success, failure }) =>
      store.txn({ compare, success: marked(success), failure: marked(failure) }),
    watch: (request, sink) => store.watch(request, sink),
    compact: (revision) => store.compact(revision),
  };
}
