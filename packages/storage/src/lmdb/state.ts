/**
 * The state a transaction works on: what is on disk, with the changes of the transactions before it in the same
 * commit, with its own changes so far. Each is a layer; a layer is merged into the one below when its transaction
 * succeeds, and dropped when it does not.
 */
import type { Transaction } from 'lmdb';
import type { KeyRange } from '../store.js';
import type { Tables } from './environment.js';
import { isEmptyRange, isSingleKey, rangeContains, rangeLimit } from './ranges.js';
import { parseRecord, type KeyRecord, type Record } from './record.js';

/** Present key-values. */
export interface State {
  get(key: Buffer): Record | undefined;
  /** In key order. */
  records(range: KeyRange): Iterable<KeyRecord>;
  count(range: KeyRange): number;
}

export class DiskState implements State {
  readonly #tables: Tables;
  readonly #transaction: Transaction;

  constructor(tables: Tables, transaction: Transaction) {
    this.#tables = tables;
    this.#transaction = transaction;
  }

  get(key: Buffer): Record | undefined {
    const bytes = this.#tables.current.get(this.#transaction, key);
    return bytes && parseRecord(key, bytes);
  }

  *records(range: KeyRange): Generator<KeyRecord> {
    if (isEmptyRange(range)) return;
    if (isSingleKey(range)) {
      const record = this.get(range.key);
      if (record) yield { key: range.key, record };
      return;
    }
    const bounds = { start: range.key, end: rangeLimit(range) };
    for (const { key, value } of this.#tables.current.entries(this.#transaction, bounds)) {
      yield { key, record: parseRecord(key, value) };
    }
  }

  count(range: KeyRange): number {
    if (isEmptyRange(range)) return 0;
    if (isSingleKey(range)) return this.#tables.current.has(this.#transaction, range.key) ? 1 : 0;
    return this.#tables.current.count(this.#transaction, { start: range.key, end: rangeLimit(range) });
  }
}

interface Pending {
  readonly key: Buffer;
  /** Undefined: deleted. */
  readonly record: Record | undefined;
}

export class Layer implements State {
  readonly #below: State;
  readonly #pending = new Map<string, Pending>();

  constructor(below: State) {
    this.#below = below;
  }

  get(key: Buffer): Record | undefined {
    if (this.#pending.size === 0) return this.#below.get(key);
    const pending = this.#pending.get(keyText(key));
    return pending ? pending.record : this.#below.get(key);
  }

  set(key: Buffer, record: Record | undefined): void {
    this.#pending.set(keyText(key), { key, record });
  }

  *records(range: KeyRange): Generator<KeyRecord> {
    const pending = this.#inRange(range);
    let next = 0;
    for (const below of this.#below.records(range)) {
      let order = -1;
      for (; next < pending.length; next++) {
        const mine = pending[next] as Pending;
        order = mine.key.compare(below.key);
        if (order > 0) break;
        if (mine.record) yield { key: mine.key, record: mine.record };
        if (order === 0) {
          next++;
          break;
        }
      }
      if (order !== 0) yield below;
    }
    for (; next < pending.length; next++) {
      const mine = pending[next] as Pending;
      if (mine.record) yield { key: mine.key, record: mine.record };
    }
  }

  count(range: KeyRange): number {
    let count = this.#below.count(range);
    for (const { key, record } of this.#inRange(range)) {
      const before = this.#below.get(key) !== undefined;
      if (before && !record) count--;
      if (!before && record) count++;
    }
    return count;
  }

  mergeInto(layer: Layer): void {
    for (const [text, pending] of this.#pending) layer.#pending.set(text, pending);
  }

  #inRange(range: KeyRange): Pending[] {
    if (this.#pending.size === 0) return [];
    if (isSingleKey(range)) {
      const pending = this.#pending.get(keyText(range.key));
      return pending ? [pending] : [];
    }
    return [...this.#pending.values()]
      .filter((pending) => rangeContains(range, pending.key))
      .toSorted((a, b) => a.key.compare(b.key));
  }
}

/** A key as a Map's key: one character for each byte. */
export function keyText(key: Buffer): string {
  return key.toString('latin1');
}
