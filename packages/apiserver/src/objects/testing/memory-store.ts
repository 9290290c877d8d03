/** A Store in memory, for tests of the layers above: every operation of the contract they use, nothing on disk. */
import {
  StoreError,
  type Compare,
  type KeyRange,
  type KeyValue,
  type Op,
  type OpResult,
  type RangeRequest,
  type RangeResult,
  type Store,
  type WatchEvent,
  type WatchRequest,
  type WatchSink,
} from '@waxseal/storage';

interface Version {
  readonly revision: number;
  /** Undefined: deleted. */
  readonly kv: KeyValue | undefined;
}

interface Live {
  readonly request: WatchRequest;
  readonly sink: WatchSink;
}

export function createMemoryStore(): Store {
  const keys = new Map<string, Version[]>();
  const log: { revision: number; event: WatchEvent }[] = [];
  const watches = new Set<Live>();
  let revision = 1;
  let compacted = 0;
  let nextLease = 1n;

  const at = (id: string, asOf: number): KeyValue | undefined =>
    keys.get(id)?.findLast((version) => version.revision <= asOf)?.kv;

  const inRange = (range: KeyRange, id: string): boolean => {
    const key = range.key.toString('latin1');
    if (range.rangeEnd === undefined) return id === key;
    const end = range.rangeEnd.toString('latin1');
    return id >= key && (end === '\0' || id < end);
  };

  const range = (request: RangeRequest): RangeResult => {
    const asOf = request.revision === undefined || request.revision === 0 ? revision : request.revision;
    if (asOf > revision) throw new StoreError('future-revision', 'required revision is a future revision');
    if (asOf < compacted) throw new StoreError('compacted', 'required revision has been compacted');
    const ids =
      request.rangeEnd === undefined
        ? [request.key.toString('latin1')]
        : [...keys.keys()].filter((id) => inRange(request, id)).toSorted();
    const all = ids.map((id) => at(id, asOf)).filter((kv) => kv !== undefined);
    const limit = request.limit === undefined || request.limit === 0 ? all.length : request.limit;
    const kvs = all
      .slice(0, limit)
      .map((kv) => (request.keysOnly === true ? { ...kv, value: Buffer.alloc(0) } : kv));
    return {
      revision,
      kvs: request.countOnly === true ? [] : kvs,
      more: all.length > limit,
      count: all.length,
    };
  };

  const holds = (compare: Compare): boolean => {
    const kv = at(compare.key.toString('latin1'), revision);
    const order = (a: number, b: number): boolean =>
      ({ equal: a === b, notEqual: a !== b, less: a < b, greater: a > b })[compare.result];
    switch (compare.target) {
      case 'modRevision':
      case 'createRevision':
      case 'version':
        return order(kv?.[compare.target] ?? 0, compare.number);
      case 'value':
        return kv !== undefined && order(Buffer.compare(kv.value, compare.value), 0);
      case 'lease':
        return kv !== undefined && order(kv.lease === compare.lease ? 0 : 1, 0);
    }
  };

  const set = (id: string, kv: KeyValue | undefined, events: WatchEvent[], next: number): void => {
    const previous = at(id, revision);
    const key = Buffer.from(id, 'latin1');
    const gone: KeyValue = {
      key,
      value: Buffer.alloc(0),
      createRevision: 0,
      modRevision: next,
      version: 0,
      lease: 0n,
    };
    events.push({ type: kv === undefined ? 'delete' : 'put', kv: kv ?? gone, prevKv: previous });
    keys.set(id, [...(keys.get(id) ?? []), { revision: next, kv }]);
  };

  const run = (op: Op, events: WatchEvent[], next: number): OpResult => {
    switch (op.kind) {
      case 'put': {
        const id = op.key.toString('latin1');
        const previous = at(id, revision);
        const kv: KeyValue = {
          key: Buffer.from(op.key),
          value: Buffer.from(op.value),
          createRevision: previous?.createRevision ?? next,
          modRevision: next,
          version: (previous?.version ?? 0) + 1,
          lease: op.lease ?? 0n,
        };
        set(id, kv, events, next);
        return { kind: 'put' };
      }
      case 'delete': {
        const ids = [...keys.keys()].filter((id) => inRange(op, id) && at(id, revision) !== undefined);
        for (const id of ids) set(id, undefined, events, next);
        return { kind: 'delete', deleted: ids.length, prevKvs: [] };
      }
      case 'range':
        return { kind: 'range', ...range(op) };
      case 'txn':
        throw new StoreError('invalid-argument', 'nested transactions are not for this store');
    }
  };

  const deliver = (live: Live, events: readonly WatchEvent[], rev: number): void => {
    const mine = events.filter((e) => inRange(live.request, e.kv.key.toString('latin1')));
    if (mine.length > 0) setImmediate(() => watches.has(live) && live.sink.onEvents(mine, rev));
  };

  return {
    range: async (request) => range(request),
    async get(key, asOf) {
      const found = range({ key, revision: asOf });
      return { revision: found.revision, kv: found.kvs[0] };
    },
    async txn({ compare, success, failure }) {
      const succeeded = compare.every(holds);
      const events: WatchEvent[] = [];
      const results = (succeeded ? success : failure).map((op) => run(op, events, revision + 1));
      if (events.length > 0) {
        revision++;
        log.push(...events.map((event) => ({ revision, event })));
        for (const live of watches) deliver(live, events, revision);
      }
      return { succeeded, revision, results };
    },
    watch(request, sink) {
      const live: Live = { request, sink };
      const start = request.startRevision ?? 0;
      watches.add(live);
      if (start > 0 && start <= compacted) {
        setImmediate(() => sink.onEnd({ kind: 'compacted', compactRevision: compacted }));
      } else if (start > 0) {
        const revisions = new Set(log.map((entry) => entry.revision).filter((r) => r >= start));
        for (const r of revisions) {
          const events = log.filter((entry) => entry.revision === r).map((entry) => entry.event);
          deliver(live, events, r);
        }
      }
      return {
        started: Promise.resolve(revision),
        requestProgress: () => setImmediate(() => watches.has(live) && sink.onProgress?.(revision)),
        cancel() {
          if (watches.delete(live)) setImmediate(() => sink.onEnd({ kind: 'cancelled' }));
        },
      };
    },
    async compact(to) {
      compacted = to;
    },
    leaseGrant: async (ttlSeconds) => ({ id: nextLease++, ttlSeconds }),
    leaseRevoke: async () => undefined,
    leaseKeepAlive: async () => 0,
    leaseTimeToLive: async (id) => ({ id, grantedTtlSeconds: 0, ttlSeconds: -1, keys: [] }),
    leases: async () => [],
    status: async () => ({
      revision,
      compactRevision: compacted,
      sizeBytes: 0,
      sizeInUseBytes: 0,
      version: 'memory',
    }),
    async close() {
      for (const live of watches) live.sink.onEnd({ kind: 'closed' });
      watches.clear();
    },
  };
}
