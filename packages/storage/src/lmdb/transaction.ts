/**
 * One transaction, as etcd applies it: every condition is judged and every operation checked on the state before it;
 * then the operations run in order and see each other. What is checked first cannot fail later.
 */
import type { Transaction } from 'lmdb';
import {
  StoreError,
  type Compare,
  type CompareResult,
  type DeleteOp,
  type KeyValue,
  type Op,
  type OpResult,
  type PutOp,
  type RangeRequest,
  type RangeResult,
  type TxnRequest,
  type TxnResult,
} from '../store.js';
import type { Tables } from './environment.js';
import { recordsAt } from './past.js';
import { isSingleKey } from './ranges.js';
import {
  encodeRecord,
  recordCreateRevision,
  recordLease,
  recordModRevision,
  recordValue,
  recordVersion,
  toKeyValue,
  type KeyRecord,
  type Record as StoredRecord,
} from './record.js';
import { Layer, type State } from './state.js';

/** One key touched by a revision. */
export interface Change {
  readonly type: 'put' | 'delete';
  readonly key: Buffer;
  /** What is there now; undefined after a delete. */
  readonly record: StoredRecord | undefined;
  /** What was there before. */
  readonly replaced: StoredRecord | undefined;
}

/** What a transaction may read. */
export interface TxnContext {
  readonly tables: Tables;
  /** The snapshot on disk, for reads of the past. */
  readonly snapshot: Transaction;
  /** The present, with every transaction before this one. */
  readonly state: State;
  /** Revision of the transaction before this one. */
  readonly revision: number;
  readonly compactRevision: number;
  /** Newest revision that is on disk; later ones are still only in `state`. */
  readonly durableRevision: number;
  hasLease(id: bigint): boolean;
}

export interface TxnOutcome {
  readonly result: TxnResult;
  readonly changes: readonly Change[];
  readonly layer: Layer;
}

export function applyTxn(context: TxnContext, request: TxnRequest): TxnOutcome {
  const branches = chooseBranches(context.state, request);
  checkOps(context, request, [...branches]);
  const run = new Run(context);
  const result = run.txn(request, branches);
  const revision = run.changes.length > 0 ? run.next : context.revision;
  return { result: { ...result, revision }, changes: run.changes, layer: run.layer };
}

/** Whether each transaction succeeds, this one first and nested ones as they are met. */
function chooseBranches(state: State, request: TxnRequest): boolean[] {
  const succeeded = request.compare.every((compare) => holds(state, compare));
  const branches = [succeeded];
  for (const op of succeeded ? request.success : request.failure) {
    if (op.kind === 'txn') branches.push(...chooseBranches(state, op));
  }
  return branches;
}

function holds(state: State, compare: Compare): boolean {
  // A key that does not exist has zeros, but no value, so no condition on its value holds.
  const absent = (): boolean =>
    compare.target !== 'value' && RESULT_HOLDS[compare.result](order(compare, undefined));
  if (isSingleKey(compare)) {
    const record = state.get(compare.key);
    return record ? RESULT_HOLDS[compare.result](order(compare, record)) : absent();
  }
  let any = false;
  for (const { record } of state.records(compare)) {
    any = true;
    if (!RESULT_HOLDS[compare.result](order(compare, record))) return false;
  }
  return any || absent();
}

const RESULT_HOLDS: { readonly [result in CompareResult]: (order: number) => boolean } = {
  equal: (order) => order === 0,
  notEqual: (order) => order !== 0,
  less: (order) => order < 0,
  greater: (order) => order > 0,
};

const NUMBERS = {
  modRevision: recordModRevision,
  createRevision: recordCreateRevision,
  version: recordVersion,
};

/** Negative, zero or positive: how the stored side compares to the given one. */
function order(compare: Compare, record: StoredRecord | undefined): number {
  if (compare.target === 'value') return record ? recordValue(record).compare(compare.value) : -1;
  if (compare.target === 'lease') {
    const lease = record ? recordLease(record) : 0n;
    return lease < compare.lease ? -1 : lease > compare.lease ? 1 : 0;
  }
  return (record ? NUMBERS[compare.target](record) : 0) - compare.number;
}

function checkOps(context: TxnContext, request: TxnRequest, branches: boolean[]): void {
  for (const op of branches.shift() ? request.success : request.failure) {
    if (op.kind === 'txn') checkOps(context, op, branches);
    else if (op.kind === 'put') checkPut(context, op);
    else if (op.kind === 'range') checkRevision(op.revision, context.revision, context.compactRevision);
  }
}

function checkPut(context: TxnContext, op: PutOp): void {
  if ((op.ignoreValue || op.ignoreLease) && !context.state.get(op.key)) {
    throw new StoreError('key-not-found', 'a put that keeps the value or the lease needs a key that exists');
  }
  if (op.lease && !context.hasLease(op.lease)) {
    throw new StoreError('lease-not-found', `lease ${op.lease.toString(16)} does not exist; grant one first`);
  }
}

/** Whether a read at `revision` can be answered. */
export function checkRevision(
  revision: number | undefined,
  presentRevision: number,
  compactRevision: number,
): void {
  if (!revision) return;
  if (revision > presentRevision) {
    throw new StoreError(
      'future-revision',
      `revision ${revision} is in the future, the store is at ${presentRevision}`,
    );
  }
  if (revision < compactRevision) {
    throw new StoreError(
      'compacted',
      `revision ${revision} is compacted, the oldest that can be read is ${compactRevision}`,
    );
  }
}

class Run {
  readonly layer: Layer;
  readonly changes: Change[] = [];
  /** The revision of the changes. */
  readonly next: number;
  readonly #context: TxnContext;

  constructor(context: TxnContext) {
    this.#context = context;
    this.next = context.revision + 1;
    this.layer = new Layer(context.state);
  }

  txn(request: TxnRequest, branches: boolean[]): TxnResult {
    const succeeded = branches.shift() === true;
    const results: OpResult[] = [];
    for (const op of succeeded ? request.success : request.failure) results.push(this.#op(op, branches));
    return { succeeded, revision: this.#present, results };
  }

  #op(op: Op, branches: boolean[]): OpResult {
    if (op.kind === 'put') return this.#put(op);
    if (op.kind === 'delete') return this.#delete(op);
    if (op.kind === 'range') return { kind: 'range', ...this.#range(op) };
    return { kind: 'txn', ...this.txn(op, branches) };
  }

  get #present(): number {
    return this.changes.length > 0 ? this.next : this.#context.revision;
  }

  #put(op: PutOp): OpResult {
    const replaced = this.layer.get(op.key);
    const key = Buffer.from(op.key);
    const record = encodeRecord(key, {
      value: op.ignoreValue && replaced ? recordValue(replaced) : op.value,
      createRevision: replaced ? recordCreateRevision(replaced) : this.next,
      modRevision: this.next,
      version: replaced ? recordVersion(replaced) + 1 : 1,
      lease: op.ignoreLease && replaced ? recordLease(replaced) : (op.lease ?? 0n),
    });
    this.layer.set(key, record);
    this.changes.push({ type: 'put', key, record, replaced });
    return op.prevKv && replaced ? { kind: 'put', prevKv: toKeyValue(key, replaced) } : { kind: 'put' };
  }

  #delete(op: DeleteOp): OpResult {
    const gone = [...this.layer.records(op)];
    for (const { key, record } of gone) {
      this.layer.set(key, undefined);
      // It may be the caller's own buffer.
      this.changes.push({ type: 'delete', key: Buffer.from(key), record: undefined, replaced: record });
    }
    return {
      kind: 'delete',
      deleted: gone.length,
      prevKvs: op.prevKv ? gone.map(({ key, record }) => toKeyValue(Buffer.from(key), record)) : [],
    };
  }

  #range(request: RangeRequest): RangeResult {
    const { revision: before, durableRevision, tables, snapshot } = this.#context;
    const { revision = 0 } = request;
    const past = revision > 0 && (revision < before || this.changes.length > 0);
    if (past && revision > durableRevision) {
      // Between what is on disk and the transaction before this one lie only changes of this very commit.
      throw new StoreError('unavailable', `revision ${revision} is being written; try again`);
    }
    if (past) return collect(request, recordsAt(tables, snapshot, request, revision), this.#present);
    if (request.countOnly) {
      return { revision: this.#present, kvs: [], more: false, count: this.layer.count(request) };
    }
    return collect(request, this.layer.records(request), this.#present);
  }
}

/**
 * A range as its request wants it. What is beyond the limit is counted one by one, unless `countAll` knows how many keys
 * the range has.
 */
export function collect(
  request: RangeRequest,
  records: Iterable<KeyRecord>,
  revision: number,
  countAll?: () => number | undefined,
): RangeResult {
  const limit = request.countOnly ? 0 : request.limit || Infinity;
  const kvs: KeyValue[] = [];
  let count = 0;
  for (const { key, record } of records) {
    count++;
    if (count <= limit) {
      kvs.push(toKeyValue(key, record, request.keysOnly));
    } else if (count === limit + 1) {
      const all = countAll?.();
      if (all !== undefined) {
        count = all;
        break;
      }
    }
  }
  return { revision, kvs, more: !request.countOnly && count > limit, count };
}
