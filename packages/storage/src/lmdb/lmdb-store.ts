/** The Store on LMDB. Reads are synchronous looks at a snapshot; writes go through the commit queue. */
import { stat } from 'node:fs/promises';
import {
  type KeyValue,
  type LeaseStatus,
  type RangeRequest,
  type RangeResult,
  type Store,
  type StoreStatus,
  type TxnRequest,
  type TxnResult,
  type Watch,
  type WatchRequest,
  type WatchSink,
} from '../store.js';
import type { ProcessLock } from '../process-lock.js';
import { checkRange, checkTxn, requestBytes } from './check-request.js';
import type { Clock } from './clock.js';
import type { RevisionChanges } from './commit.js';
import { CommitQueue } from './commit-queue.js';
import { Compactor } from './compactor.js';
import { PAGE_BYTES, type Environment } from './environment.js';
import { closedError, toStoreError } from './errors.js';
import { LeaseTable } from './lease-table.js';
import { Lessor } from './lessor.js';
import { recordAt, recordsAt } from './past.js';
import { countAt } from './past-count.js';
import { isEmptyRange, isSingleKey, rangeLimit, successor } from './ranges.js';
import { parseRecord, toKeyValue } from './record.js';
import { DiskState } from './state.js';
import { checkRevision, collect } from './transaction.js';
import { WatchHub } from './watch-hub.js';

/** Two meta pages. */
const META_PAGES = 2;
/** What a job costs beside its keys and values. */
const JOB_BYTES = 256;

export interface LmdbStoreParts {
  readonly environment: Environment;
  readonly lock: ProcessLock;
  /** Of data.mdb, for messages and its size. */
  readonly dataPath: string;
  readonly revision: number;
  readonly clock: Clock;
  readonly randomBytes: (size: number) => Buffer;
  /** `lmdb 3.5.6` */
  readonly version: string;
}

export class LmdbStore implements Store {
  readonly #environment: Environment;
  readonly #lock: ProcessLock;
  readonly #dataPath: string;
  readonly #version: string;
  readonly #queue: CommitQueue;
  readonly #compactor: Compactor;
  readonly #leases: LeaseTable;
  readonly #lessor: Lessor;
  readonly #watches: WatchHub;
  #revision: number;
  #closing: Promise<void> | undefined;

  constructor({ environment, lock, dataPath, revision, clock, randomBytes, version }: LmdbStoreParts) {
    this.#environment = environment;
    this.#lock = lock;
    this.#dataPath = dataPath;
    this.#version = version;
    this.#revision = revision;
    this.#leases = new LeaseTable(environment.tables);
    this.#leases.load(environment.snapshot, clock.now());
    this.#queue = new CommitQueue(environment, dataPath, {
      start: () => ({
        tables: environment.tables,
        snapshot: environment.snapshot,
        leases: this.#leases,
        durableRevision: this.#revision,
        compactRevision: this.#compactor.compactRevision,
      }),
      committed: (newRevision, revisions) => this.#committed(newRevision, revisions),
      failed: () => this.#leases.load(environment.snapshot, clock.now()),
    });
    this.#compactor = new Compactor(environment, this.#queue);
    this.#lessor = new Lessor({ table: this.#leases, queue: this.#queue, clock, randomBytes });
    const compactor = this.#compactor;
    const presentRevision = (): number => this.#revision;
    this.#watches = new WatchHub({
      environment,
      get revision() {
        return presentRevision();
      },
      get compactRevision() {
        return compactor.compactRevision;
      },
    });
    this.#lessor.start();
    this.#compactor.resume();
  }

  #committed(revision: number, revisions: readonly RevisionChanges[]): void {
    this.#revision = revision;
    this.#watches.report(revisions, revision);
  }

  async get(key: Buffer, revision = 0): Promise<{ revision: number; kv: KeyValue | undefined }> {
    if (this.#closing) throw closedError();
    checkRange({ key });
    const { tables, snapshot } = this.#environment;
    const present = this.#revision;
    try {
      if (revision > 0 && revision !== present) {
        checkRevision(revision, present, this.#compactor.compactRevision);
        const record = recordAt(tables, snapshot, key, revision);
        return { revision: present, kv: record && toKeyValue(Buffer.from(key), record) };
      }
      const bytes = tables.current.get(snapshot, key);
      return { revision: present, kv: bytes && toKeyValue(Buffer.from(key), parseRecord(key, bytes)) };
    } catch (error) {
      throw toStoreError(error, this.#dataPath);
    }
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    if (this.#closing) throw closedError();
    checkRange(request);
    const present = this.#revision;
    const { revision = 0 } = request;
    try {
      checkRevision(revision, present, this.#compactor.compactRevision);
      if (revision > 0 && revision !== present) {
        const { tables, snapshot } = this.#environment;
        const records = recordsAt(tables, snapshot, request, revision);
        const countAll = (): number | undefined => countAt(tables, snapshot, request, revision, present);
        return collect(request, records, present, countAll);
      }
      return this.#rangeNow(request, present);
    } catch (error) {
      throw toStoreError(error, this.#dataPath);
    }
  }

  #rangeNow(request: RangeRequest, revision: number): RangeResult {
    const { tables, snapshot } = this.#environment;
    const state = new DiskState(tables, snapshot);
    if (request.countOnly) return { revision, kvs: [], more: false, count: state.count(request) };
    if (isSingleKey(request)) return collect(request, state.records(request), revision);
    if (isEmptyRange(request)) return { revision, kvs: [], more: false, count: 0 };
    const end = rangeLimit(request);
    const limit = request.limit || undefined;
    // One more than asked for says whether there is more.
    const read = request.uncounted && limit !== undefined ? limit + 1 : limit;
    const kvs: KeyValue[] = [];
    for (const { key, value } of tables.current.entries(snapshot, { start: request.key, end, limit: read })) {
      kvs.push(toKeyValue(key, parseRecord(key, value), request.keysOnly));
    }
    if (read !== limit && kvs.length === read) {
      kvs.pop();
      return { revision, kvs, more: true, count: read };
    }
    const last = kvs.at(-1);
    // LMDB counts the keys behind the page without looking at their values.
    const rest =
      last && read === limit && kvs.length === limit
        ? tables.current.count(snapshot, { start: successor(last.key), end })
        : 0;
    return { revision, kvs, more: rest > 0, count: kvs.length + rest };
  }

  async txn(request: TxnRequest): Promise<TxnResult> {
    if (this.#closing) throw closedError();
    checkTxn(request);
    return this.#queue.submit(requestBytes(request) + JOB_BYTES, (commit) => commit.txn(request));
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    try {
      if (this.#closing) throw closedError();
      checkRange(request);
      return this.#watches.watch(request, sink);
    } catch (error) {
      const failure = toStoreError(error, this.#dataPath);
      const started = Promise.reject<number>(failure);
      started.catch(() => {});
      setImmediate(() => sink.onEnd({ kind: 'failed', error: failure }));
      return { started, requestProgress: () => {}, cancel: () => {} };
    }
  }

  async compact(revision: number): Promise<void> {
    if (this.#closing) throw closedError();
    await this.#compactor.compact(revision, this.#revision);
  }

  async leaseGrant(ttlSeconds: number, id = 0n): Promise<{ id: bigint; ttlSeconds: number }> {
    if (this.#closing) throw closedError();
    return this.#lessor.grant(ttlSeconds, id);
  }

  async leaseRevoke(id: bigint): Promise<void> {
    if (this.#closing) throw closedError();
    await this.#lessor.revoke(id);
  }

  async leaseKeepAlive(id: bigint): Promise<number> {
    if (this.#closing) throw closedError();
    return this.#lessor.keepAlive(id);
  }

  async leaseTimeToLive(id: bigint, withKeys: boolean): Promise<LeaseStatus> {
    if (this.#closing) throw closedError();
    return this.#lessor.timeToLive(id, withKeys);
  }

  async leases(): Promise<readonly bigint[]> {
    if (this.#closing) throw closedError();
    return [...this.#leases.all()].map((lease) => lease.id);
  }

  async status(): Promise<StoreStatus> {
    if (this.#closing) throw closedError();
    const { size } = await stat(this.#dataPath);
    const pages = Object.values(this.#environment.tables).reduce((sum, table) => sum + table.pages(), 0);
    return {
      revision: this.#revision,
      compactRevision: this.#compactor.compactRevision,
      sizeBytes: size,
      sizeInUseBytes: Math.min(size, (pages + META_PAGES) * PAGE_BYTES),
      version: this.#version,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#watches.close();
    await this.#compactor.close();
    await this.#lessor.close();
    await this.#queue.close();
    await this.#environment.close();
    await this.#lock.release();
  }
}
