/**
 * A store as plainly as it can be written: every version of every key in one list, and every question answered by
 * looking through it. Slow and simple on purpose: it is what random transactions on a real store are judged by.
 */
import type {
  Compare,
  KeyRange,
  KeyValue,
  Op,
  OpResult,
  PutOp,
  RangeRequest,
  TxnRequest,
  TxnResult,
} from '../store.js';

interface Change {
  readonly revision: number;
  readonly kv: KeyValue;
  readonly deleted: boolean;
}

export class StoreModel {
  revision: number;
  readonly #changes: Change[] = [];

  /** `revision`: where the real store stands. */
  constructor(revision: number) {
    this.revision = revision;
  }

  txn(request: TxnRequest): TxnResult {
    const next = this.revision + 1;
    const before = this.#changes.length;
    const branches = this.#branches(request);
    const result = this.#apply(request, branches, next);
    const revision = this.#changes.length > before ? next : this.revision;
    this.revision = revision;
    return { ...result, revision };
  }

  range(request: RangeRequest): Omit<Extract<OpResult, { kind: 'range' }>, 'kind'> {
    return this.#range(request, this.revision);
  }

  /** Keys of the range with their state at `revision`, in key order. */
  #state(range: KeyRange, revision: number): KeyValue[] {
    const state = new Map<string, KeyValue>();
    for (const change of this.#changes) {
      if (change.revision > revision || !contains(range, change.kv.key)) continue;
      const key = change.kv.key.toString('latin1');
      if (change.deleted) state.delete(key);
      else state.set(key, change.kv);
    }
    return [...state.values()].toSorted((a, b) => Buffer.compare(a.key, b.key));
  }

  #range(request: RangeRequest, present: number): Omit<Extract<OpResult, { kind: 'range' }>, 'kind'> {
    const state = this.#state(request, request.revision || present);
    const limit = request.limit || Infinity;
    const kvs = request.countOnly ? [] : state.slice(0, limit);
    return {
      revision: present,
      kvs: request.keysOnly ? kvs.map((kv) => ({ ...kv, value: Buffer.alloc(0) })) : kvs,
      more: !request.countOnly && state.length > limit,
      count: state.length,
    };
  }

  /** All conditions, nested ones too, judged before anything changes; in the order they are met. */
  #branches(request: TxnRequest): boolean[] {
    const succeeded = request.compare.every((compare) => this.#holds(compare));
    const ops = succeeded ? request.success : request.failure;
    return [succeeded, ...ops.flatMap((op) => (op.kind === 'txn' ? this.#branches(op) : []))];
  }

  #holds(compare: Compare): boolean {
    const state = this.#state(compare, this.revision);
    if (state.length === 0) {
      return compare.target !== 'value' && judged(compare, undefined);
    }
    return state.every((kv) => judged(compare, kv));
  }

  #apply(request: TxnRequest, branches: boolean[], next: number): TxnResult {
    const succeeded = branches.shift() as boolean;
    const ops = succeeded ? request.success : request.failure;
    return { succeeded, revision: 0, results: ops.map((op) => this.#applyOp(op, branches, next)) };
  }

  #applyOp(op: Op, branches: boolean[], next: number): OpResult {
    if (op.kind === 'put') return this.#put(op, next);
    if (op.kind === 'delete') {
      const gone = this.#state(op, next);
      for (const kv of gone) this.#changes.push({ revision: next, kv, deleted: true });
      return { kind: 'delete', deleted: gone.length, prevKvs: op.prevKv ? gone : [] };
    }
    if (op.kind === 'range') {
      const changed = this.#changes.at(-1)?.revision === next;
      return { kind: 'range', ...this.#range(op, changed ? next : this.revision) };
    }
    return { kind: 'txn', ...this.#apply(op, branches, next) };
  }

  #put(op: PutOp, next: number): OpResult {
    const [previous] = this.#state({ key: op.key }, next);
    const kv = {
      key: op.key,
      value: op.ignoreValue && previous ? previous.value : op.value,
      createRevision: previous?.createRevision ?? next,
      modRevision: next,
      version: (previous?.version ?? 0) + 1,
      lease: 0n,
    };
    this.#changes.push({ revision: next, kv, deleted: false });
    return op.prevKv && previous ? { kind: 'put', prevKv: previous } : { kind: 'put' };
  }
}

function contains({ key, rangeEnd }: KeyRange, candidate: Buffer): boolean {
  if (rangeEnd === undefined) return candidate.equals(key);
  const open = rangeEnd.length === 1 && rangeEnd[0] === 0;
  return Buffer.compare(candidate, key) >= 0 && (open || Buffer.compare(candidate, rangeEnd) < 0);
}

function judged(compare: Compare, kv: KeyValue | undefined): boolean {
  const order = ordered(compare, kv);
  const sign = order < 0 ? 'less' : order > 0 ? 'greater' : 'equal';
  return compare.result === 'notEqual' ? order !== 0 : compare.result === sign;
}

function ordered(compare: Compare, kv: KeyValue | undefined): number {
  if (compare.target === 'value') return Buffer.compare(kv?.value ?? Buffer.alloc(0), compare.value);
  if (compare.target === 'lease') return Number((kv?.lease ?? 0n) - compare.lease);
  return (kv?.[compare.target] ?? 0) - compare.number;
}
