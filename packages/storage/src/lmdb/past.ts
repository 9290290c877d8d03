/** The state of a range at a revision of the past: what `current` still holds of it, merged with what was replaced. */
import type { Transaction } from 'lmdb';
import type { KeyRange } from '../store.js';
import type { Tables } from './environment.js';
import { historyBound, historyKey, historyOwner, historyRevision, ownerKey } from './history-key.js';
import { isEmptyRange, isSingleKey, rangeLimit } from './ranges.js';
import {
  corruptRecord,
  isTombstone,
  parseRecord,
  recordCreateRevision,
  recordModRevision,
  type KeyRecord,
  type Record,
} from './record.js';

/** The version of `key` that was current at `revision`; undefined when there was none. */
export function recordAt(
  tables: Tables,
  transaction: Transaction,
  key: Buffer,
  revision: number,
): Record | undefined {
  const bytes = tables.current.get(transaction, key);
  const present = bytes && parseRecord(key, bytes);
  if (present && recordModRevision(present) <= revision) return present;
  let last: Buffer | undefined;
  const range = { start: historyKey(key, 0), end: historyKey(key, revision + 1) };
  for (const at of tables.history.keys(transaction, range)) last = at;
  const before = last && replacedRecord(tables, transaction, key, last);
  if (!before && present) mustBeNewer(key, present, revision);
  return before;
}

/** A key created before `revision` had a version then; one that cannot be found was damaged, not absent. */
function mustBeNewer(key: Buffer, present: Record, revision: number): void {
  if (recordCreateRevision(present) <= revision) throw corruptRecord(key);
}

/** One replaced version, unless it was compacted. */
export function recordOf(
  tables: Tables,
  transaction: Transaction,
  key: Buffer,
  revision: number,
): Record | undefined {
  const bytes = tables.history.get(transaction, historyKey(key, revision));
  return bytes && parseRecord(key, bytes);
}

/** Every key-value of a range at `revision`, in key order. */
export function* recordsAt(
  tables: Tables,
  transaction: Transaction,
  range: KeyRange,
  revision: number,
): Generator<KeyRecord> {
  if (isEmptyRange(range)) return;
  if (isSingleKey(range)) {
    const record = recordAt(tables, transaction, range.key, revision);
    if (record) yield { key: range.key, record };
    return;
  }
  const replaced = replacedVersions(tables, transaction, range, revision);
  try {
    yield* merged(tables, transaction, range, revision, replaced);
  } finally {
    // Closes its cursor when the caller has seen enough.
    replaced.return(undefined);
  }
}

interface Replaced {
  readonly key: Buffer;
  /** Its place in `history`. */
  readonly at: Buffer;
}

function* merged(
  tables: Tables,
  transaction: Transaction,
  range: KeyRange,
  revision: number,
  replaced: Iterator<Replaced>,
): Generator<KeyRecord> {
  let old = replaced.next();
  const bounds = { start: range.key, end: rangeLimit(range) };
  for (const { key, value } of tables.current.entries(transaction, bounds)) {
    while (!old.done && old.value.key.compare(key) < 0) {
      const record = replacedRecord(tables, transaction, old.value.key, old.value.at);
      if (record) yield { key: old.value.key, record };
      old = replaced.next();
    }
    const record = parseRecord(key, value);
    const mine = !old.done && old.value.key.equals(key) ? old.value : undefined;
    if (recordModRevision(record) <= revision) {
      yield { key, record };
    } else {
      const before = mine && replacedRecord(tables, transaction, key, mine.at);
      if (before) yield { key, record: before };
      else mustBeNewer(key, record, revision);
    }
    if (mine) old = replaced.next();
  }
  while (!old.done) {
    const record = replacedRecord(tables, transaction, old.value.key, old.value.at);
    if (record) yield { key: old.value.key, record };
    old = replaced.next();
  }
}

/** For every key of the range with history: where its last version up to `revision` lies. */
function* replacedVersions(
  tables: Tables,
  transaction: Transaction,
  range: KeyRange,
  revision: number,
): Generator<Replaced> {
  const end = rangeLimit(range);
  const bounds = { start: historyBound(range.key), end: end && historyBound(end) };
  let owner: Buffer | undefined;
  let last: Buffer | undefined;
  for (const at of tables.history.keys(transaction, bounds)) {
    const itsOwner = historyOwner(at);
    if (owner === undefined || !itsOwner.equals(owner)) {
      if (owner && last) yield { key: ownerKey(owner), at: last };
      owner = itsOwner;
      last = undefined;
    }
    if (historyRevision(at) <= revision) last = at;
  }
  if (owner && last) yield { key: ownerKey(owner), at: last };
}

function replacedRecord(
  tables: Tables,
  transaction: Transaction,
  key: Buffer,
  at: Buffer,
): Record | undefined {
  const bytes = tables.history.get(transaction, at);
  const record = bytes && parseRecord(key, bytes);
  return record && !isTombstone(record) ? record : undefined;
}
