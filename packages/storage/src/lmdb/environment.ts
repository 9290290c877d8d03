/** The LMDB environment of a store: its options, its tables, and the snapshot that reads see. */
import { open, type RootDatabase, type Transaction } from 'lmdb';
import { RAW_BYTES, Table } from './table.js';

/** Pages of 4 KiB wherever the file is opened: the page size is part of the file. */
export const PAGE_BYTES = 4096;

/**
 * Address space reserved for the file, 256 GiB. It costs no memory and no disk; a larger file grows it, which LMDB
 * does by mapping again.
 */
const MAP_BYTES = 256 * 1024 ** 3;

export interface Tables {
  /** key → record: the present state. */
  readonly current: Table;
  /** escaped key ‖ revision → record: versions replaced, and deletions. */
  readonly history: Table;
  /** revision ‖ position → change. */
  readonly log: Table;
  /** lease id → TTL and what is left of it. */
  readonly leases: Table;
  /** lease id ‖ key → nothing. */
  readonly leaseKeys: Table;
  /** name → number: format, compaction. */
  readonly meta: Table;
}

export class Environment {
  readonly tables: Tables;
  readonly #root: RootDatabase<Buffer, Buffer>;
  #transaction: Transaction;

  constructor(path: string, mapBytes: number = MAP_BYTES) {
    this.#root = openRoot(path, mapBytes);
    const table = (name: string): Table =>
      new Table(this.#root.openDB<Buffer, Buffer>({ name, ...RAW_BYTES }));
    this.tables = {
      current: table('current'),
      history: table('history'),
      log: table('log'),
      leases: table('leases'),
      leaseKeys: table('lease-keys'),
      meta: table('meta'),
    };
    this.#transaction = this.#pin();
  }

  /** The state every read sees: the last that is on disk and acknowledged, until `advance`. */
  get snapshot(): Transaction {
    return this.#transaction;
  }

  /** Moves the snapshot to what was committed last. */
  advance(): void {
    const before = this.#transaction;
    this.#transaction = this.#pin();
    before.done();
  }

  /**
   * A read transaction that stays until released. LMDB lets the package reuse its own transaction for other reads and
   * cache cursors in it; made current no longer, this one is nobody's but ours.
   */
  #pin(): Transaction {
    this.#root.resetReadTxn();
    const transaction = this.#root.useReadTransaction();
    this.#root.resetReadTxn();
    return transaction;
  }

  /**
   * Calls back before the next LMDB transaction is handed to the writer thread; what is put during the call is part of
   * it. `arm` makes sure that there is one.
   */
  onBeforeCommit(callback: () => void): void {
    this.#root.on('beforecommit', () => {
      callback();
      // The package makes a promise of its own for the transaction's start and drops it. If the transaction fails,
      // that one must not count as unhandled: those of the writes themselves tell.
      queueMicrotask(() => {
        const ignore = (): void => {};
        void this.#root.committed.then(ignore, ignore);
      });
    });
  }

  /** Starts an LMDB transaction at the end of this turn of the event loop. Resolves when it is on disk. */
  arm(): Promise<boolean> {
    return this.#root.batch(() => {});
  }

  /** Processes with the environment open, as LMDB's reader table knows them. */
  readerPids(): number[] {
    this.#root.readerCheck();
    const lines = this.#root.readerList().split('\n').slice(1);
    return lines.flatMap((line) => {
      const pid = Number(line.trim().split(/\s+/)[0]);
      return Number.isSafeInteger(pid) && pid > 0 ? [pid] : [];
    });
  }

  /** Makes a `data.mdb` with what the trees hold and nothing else. @param folder without one */
  copyCompacted(folder: string): Promise<void> {
    return this.#root.backup(folder, true);
  }

  /** Waits for writes under way. */
  async close(): Promise<void> {
    this.#transaction.done();
    await this.#root.close();
  }
}

function openRoot(path: string, mapBytes: number): RootDatabase<Buffer, Buffer> {
  const options = {
    path,
    noSubdir: false,
    // With overlapping sync the package answers before the data is on disk, and what a crash leaves depends on which
    // of its three meta pages survived. Plain LMDB: data is synced, then the meta page, then the write is answered.
    // It is as fast here (docs/decisions/0020-lmdb-store.md).
    overlappingSync: false,
    encoding: 'binary' as const,
    keyEncoding: 'binary' as const,
    pageSize: PAGE_BYTES,
    mapSize: mapBytes,
    maxDbs: 8,
    // What was freed is zeroed before it is written again: no old plaintext in the unused parts of pages.
    noMemInit: false,
    permissionsMode: 0o600,
  };
  return open<Buffer, Buffer>(options);
}
