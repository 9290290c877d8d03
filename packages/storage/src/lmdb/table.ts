/**
 * The few calls of the `lmdb` package that the store uses, on raw bytes. Reads always name their transaction, writes
 * always join the batch under way, so nothing here depends on what else the process is doing.
 */
import type { Transaction } from 'lmdb';

/** Longest key LMDB takes on its 4 KiB pages, as the `lmdb` package limits it. */
export const MAX_LMDB_KEY_BYTES = 1978;

/** What the `lmdb` package's own types leave out: every read takes a transaction. */
interface RawTable {
  getBinaryFast(key: Buffer, options: { transaction: Transaction }): Buffer | undefined;
  getRange(options: RawRange): Iterable<{ key: Buffer; value: Buffer }>;
  getKeys(options: RawRange): Iterable<Buffer>;
  getKeysCount(options: RawRange): number;
  put(key: Buffer, value: Buffer): Promise<boolean>;
  remove(key: Buffer): Promise<boolean>;
  getStats(): unknown;
}

interface RawRange {
  transaction: Transaction;
  start?: Buffer;
  end?: Buffer;
  limit?: number;
  reverse?: boolean;
}

/**
 * How the package takes and gives bytes: keys and values as they are, copied into pooled buffers. Its own binary
 * encoding makes an ArrayBuffer for each, which is most of the cost of a list.
 */
export const RAW_BYTES = {
  encoder: {
    encode: (value: Buffer): Buffer => value,
    decode: copyOf,
  },
  keyEncoder: {
    writeKey(key: Buffer, target: Buffer, start: number): number {
      target.set(key, start);
      return start + key.length;
    },
    readKey(source: Buffer, start: number, end: number): Buffer {
      const key = Buffer.allocUnsafe(end - start);
      source.copy(key, 0, start, end);
      return key;
    },
  },
};

/** The package answers in one buffer that the next read overwrites, and whose `length` says more than it has. */
function copyOf(shared: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafe(shared.length);
  copy.set(new Uint8Array(shared.buffer, shared.byteOffset, shared.length));
  return copy;
}

/** Before every key: without a start the package begins behind keys that it keeps for itself elsewhere. */
const FIRST = Buffer.from([0]);

/** From `start` (or the first key), before `end` (or to the last). */
export interface TableRange {
  readonly start?: Buffer | undefined;
  readonly end?: Buffer | undefined;
  readonly limit?: number | undefined;
}

export class Table {
  readonly #raw: RawTable;
  #settling: Promise<boolean> | undefined;

  constructor(raw: unknown) {
    this.#raw = raw as RawTable;
  }

  get(transaction: Transaction, key: Buffer): Buffer | undefined {
    const shared = this.#raw.getBinaryFast(key, { transaction });
    return shared && copyOf(shared);
  }

  has(transaction: Transaction, key: Buffer): boolean {
    return this.#raw.getBinaryFast(key, { transaction }) !== undefined;
  }

  /** Entries in key order; keys and values are the caller's to keep. */
  entries(transaction: Transaction, range: TableRange): Iterable<{ key: Buffer; value: Buffer }> {
    return this.#raw.getRange(rawRange(transaction, range));
  }

  keys(transaction: Transaction, range: TableRange): Iterable<Buffer> {
    return this.#raw.getKeys(rawRange(transaction, range));
  }

  count(transaction: Transaction, range: TableRange): number {
    return this.#raw.getKeysCount(rawRange(transaction, range));
  }

  lastKey(transaction: Transaction): Buffer | undefined {
    for (const key of this.#raw.getKeys({ transaction, end: FIRST, reverse: true, limit: 1 })) return key;
    return undefined;
  }

  /** The promise settles with the whole LMDB transaction; `key` and `value` must not change before. */
  put(key: Buffer, value: Buffer): Promise<boolean> {
    return this.#settles(this.#raw.put(key, value));
  }

  remove(key: Buffer): Promise<boolean> {
    return this.#settles(this.#raw.remove(key));
  }

  /**
   * Writes of one LMDB transaction share a promise, but not always: callers wait for the last, so that the others must
   * not count as unhandled when the transaction fails.
   */
  #settles(promise: Promise<boolean>): Promise<boolean> {
    if (promise !== this.#settling) {
      this.#settling = promise;
      promise.catch(() => {});
    }
    return promise;
  }

  /** Pages this table occupies. */
  pages(): number {
    const stats = this.#raw.getStats() as {
      treeBranchPageCount: number;
      treeLeafPageCount: number;
      overflowPages: number;
    };
    return stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages;
  }
}

function rawRange(transaction: Transaction, { start, end, limit }: TableRange): RawRange {
  const range: RawRange = { transaction, start: start ?? FIRST };
  if (end !== undefined) range.end = end;
  if (limit !== undefined) range.limit = limit;
  return range;
}
