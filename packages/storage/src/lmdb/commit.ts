/**
 * One commit: the jobs that waited for it run in order, each on the state the ones before it left, and everything they
 * write goes to disk in one LMDB transaction.
 */
import type { Transaction } from 'lmdb';
import type { TxnRequest, TxnResult } from '../store.js';
import { encodeLogEntry, logKey } from './change-log.js';
import type { Tables } from './environment.js';
import { historyKey } from './history-key.js';
import type { LeaseTable } from './lease-table.js';
import { encodeTombstone, recordLease, recordModRevision } from './record.js';
import { DiskState, Layer } from './state.js';
import { applyTxn, type Change, type TxnContext } from './transaction.js';

/** Every change of one revision, in the order they were made. */
export interface RevisionChanges {
  readonly revision: number;
  readonly changes: readonly Change[];
}

export interface CommitStart {
  readonly tables: Tables;
  readonly snapshot: Transaction;
  readonly leases: LeaseTable;
  readonly durableRevision: number;
  readonly compactRevision: number;
}

type Write =
  | { readonly kind: 'changes'; readonly changes: RevisionChanges }
  | { readonly kind: 'other'; readonly write: () => Promise<boolean> };

export class Commit {
  readonly tables: Tables;
  readonly snapshot: Transaction;
  readonly leases: LeaseTable;
  readonly revisions: RevisionChanges[] = [];
  readonly #start: CommitStart;
  readonly #state: Layer;
  readonly #writes: Write[] = [];
  #revision: number;

  constructor(start: CommitStart) {
    this.tables = start.tables;
    this.snapshot = start.snapshot;
    this.leases = start.leases;
    this.#start = start;
    this.#state = new Layer(new DiskState(start.tables, start.snapshot));
    this.#revision = start.durableRevision;
  }

  /** Revision after the jobs so far. */
  get revision(): number {
    return this.#revision;
  }

  /** Throws without having changed anything. */
  txn(request: TxnRequest): TxnResult {
    const { leases } = this;
    const context: TxnContext = {
      tables: this.tables,
      snapshot: this.snapshot,
      state: this.#state,
      revision: this.#revision,
      compactRevision: this.#start.compactRevision,
      durableRevision: this.#start.durableRevision,
      hasLease: (id) => leases.has(id),
    };
    const { result, changes, layer } = applyTxn(context, request);
    if (changes.length > 0) {
      layer.mergeInto(this.#state);
      this.#revision = result.revision;
      for (const change of changes) this.#moveLease(change);
      const revision = { revision: result.revision, changes };
      this.revisions.push(revision);
      this.#writes.push({ kind: 'changes', changes: revision });
    }
    return result;
  }

  /** Adds a write of another kind; it happens in the order of the jobs. */
  write(write: () => Promise<boolean>): void {
    this.#writes.push({ kind: 'other', write });
  }

  /** Hands everything to LMDB. Undefined when there was nothing to write. */
  flush(): Promise<boolean> | undefined {
    let promise: Promise<boolean> | undefined;
    for (const each of this.#writes) {
      promise = each.kind === 'other' ? each.write() : this.#writeRevision(each.changes);
    }
    return promise;
  }

  #writeRevision({ revision, changes }: RevisionChanges): Promise<boolean> {
    const { current, history, log } = this.tables;
    let promise: Promise<boolean> | undefined;
    for (const [position, { type, key, record, replaced }] of changes.entries()) {
      const replacedRevision = replaced ? recordModRevision(replaced) : 0;
      if (replaced) void history.put(historyKey(key, replacedRevision), replaced);
      if (record) {
        void current.put(key, record);
      } else {
        void current.remove(key);
        void history.put(historyKey(key, revision), encodeTombstone(key, revision));
      }
      const at = logKey(revision, position);
      promise = log.put(
        at,
        encodeLogEntry({ revision, position, type, key, replaced: replacedRevision }, at),
      );
    }
    return promise as Promise<boolean>;
  }

  #moveLease({ key, record, replaced }: Change): void {
    const before = replaced ? recordLease(replaced) : 0n;
    const after = record ? recordLease(record) : 0n;
    if (before === after) return;
    const { leases } = this;
    if (before !== 0n && leases.detach(before, key)) this.write(() => leases.removeKey(before, key));
    if (after !== 0n && leases.attach(after, key)) this.write(() => leases.putKey(after, key));
  }
}
