/**
 * A Store in memory for tests: what the key service uses of one (compare-and-swap, ranges, watches), deterministic, with
 * a switch that makes writes fail. Real stores keep the contract's own suite; this one only keeps tests fast.
 */
import {
  type Compare,
  type KeyRange,
  type KeyValue,
  type Op,
  type RangeRequest,
  type Store,
  StoreError,
  type WatchEvent,
  type WatchSink,
} from '@waxseal/storage';

export interface MemoryStore extends Store {
  /** Every later txn rejects with this error until it is taken away. */
  failWrites: StoreError | undefined;
  /** Revisions compact was called with. */
  readonly compactions: readonly number[];
  /** Every value the store holds, for tests that look for secrets in it. */
  values(): readonly Buffer[];
  /** Ends all watches as if their history had been compacted. */
  loseWatches(): void;
}

export function createMemoryStore(): MemoryStore {
  const state = new Map<string, KeyValue>();
  const watches = new Map<WatchSink, KeyRange>();
  const compactions: number[] = [];
  let revision = 0;

  const inRange = (key: Buffer, { key: start, rangeEnd }: KeyRange): boolean =>
    rangeEnd === undefined
      ? key.equals(start)
      : Buffer.compare(key, start) >= 0 && Buffer.compare(key, rangeEnd) < 0;

  const select = (request: RangeRequest): readonly KeyValue[] =>
    [...state.values()]
      .filter(({ key }) => inRange(key, request))
      .toSorted((a, b) => Buffer.compare(a.key, b.key));

  const holds = (compare: Compare): boolean => {
    if (compare.target === 'value' || compare.target === 'lease') throw unused();
    const actual = state.get(compare.key.toString())?.[compare.target] ?? 0;
    switch (compare.result) {
      case 'equal':
        return actual === compare.number;
      case 'notEqual':
        return actual !== compare.number;
      case 'less':
        return actual < compare.number;
      case 'greater':
        return actual > compare.number;
      default:
        throw unused();
    }
  };

  const apply = (op: Op): WatchEvent => {
    const name = op.kind === 'txn' ? '' : op.key.toString();
    const before = state.get(name);
    if (op.kind === 'put') {
      const kv: KeyValue = {
        key: op.key,
        value: op.value,
        createRevision: before?.createRevision ?? revision,
        modRevision: revision,
        version: (before?.version ?? 0) + 1,
        lease: 0n,
      };
      state.set(name, kv);
      return { type: 'put', kv };
    }
    if (op.kind !== 'delete') throw unused();
    state.delete(name);
    const gone = { createRevision: 0, version: 0, lease: 0n, value: Buffer.alloc(0) };
    return { type: 'delete', kv: { key: op.key, modRevision: revision, ...gone } };
  };

  const store: MemoryStore = {
    failWrites: undefined,
    compactions,
    values: () => [...state.values()].map(({ value }) => value),
    loseWatches() {
      for (const sink of watches.keys()) {
        watches.delete(sink);
        sink.onEnd({ kind: 'compacted', compactRevision: revision });
      }
    },
    async range(request) {
      const all = select(request);
      const kvs = request.limit ? all.slice(0, request.limit) : all;
      return { revision, kvs, count: all.length, more: kvs.length < all.length };
    },
    async get(key) {
      return { revision, kv: state.get(key.toString()) };
    },
    async txn({ compare, success, failure }) {
      if (store.failWrites !== undefined) throw store.failWrites;
      const succeeded = compare.every(holds);
      const ops = succeeded ? success : failure;
      if (ops.length > 0) {
        revision++;
        const events = ops.map(apply);
        const seen = revision;
        for (const [sink, range] of watches) {
          const mine = events.filter(({ kv }) => inRange(kv.key, range));
          if (mine.length > 0) setImmediate(() => sink.onEvents(mine, seen));
        }
      }
      return { succeeded, revision, results: [] };
    },
    watch(request, sink) {
      watches.set(sink, request);
      return {
        started: Promise.resolve(revision),
        requestProgress: () => sink.onProgress?.(revision),
        cancel: () => {
          if (watches.delete(sink)) sink.onEnd({ kind: 'cancelled' });
        },
      };
    },
    async compact(at) {
      compactions.push(at);
    },
    leaseGrant: () => Promise.reject(unused()),
    leaseRevoke: () => Promise.reject(unused()),
    leaseKeepAlive: () => Promise.reject(unused()),
    leaseTimeToLive: () => Promise.reject(unused()),
    leases: () => Promise.resolve([]),
    status: () => Promise.reject(unused()),
    async close() {
      for (const sink of watches.keys()) sink.onEnd({ kind: 'closed' });
      watches.clear();
    },
  };
  return store;
}

function unused(): StoreError {
  return new StoreError('invalid-argument', 'the key service does not use this');
}
