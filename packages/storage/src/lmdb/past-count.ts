/** Counting a range of the past without reading it: a list's first page says how many keys are left. */
import type { Transaction } from 'lmdb';
import type { KeyRange } from '../store.js';
import { logKey, parseLogEntry } from './change-log.js';
import type { Tables } from './environment.js';
import { rangeContains } from './ranges.js';
import { DiskState, keyText } from './state.js';

/** Changes that are looked through to count; for more, counting one by one costs no more. */
const COUNTED_REVISIONS = 5000;

/**
 * How many keys of a range existed at `revision`: those that exist now, corrected by what changed since. Undefined when
 * too much has changed for that to be worth it.
 */
export function countAt(
  tables: Tables,
  transaction: Transaction,
  range: KeyRange,
  revision: number,
  presentRevision: number,
): number | undefined {
  if (presentRevision - revision > COUNTED_REVISIONS) return undefined;
  const changed = new Map<string, { readonly existed: boolean; exists: boolean }>();
  for (const { key, value } of tables.log.entries(transaction, { start: logKey(revision + 1, 0) })) {
    const entry = parseLogEntry(key, value);
    if (!rangeContains(range, entry.key)) continue;
    const text = keyText(entry.key);
    const known = changed.get(text);
    const exists = entry.type === 'put';
    // The first change since replaced what was there then.
    if (known) known.exists = exists;
    else changed.set(text, { existed: entry.replaced > 0, exists });
  }
  let count = new DiskState(tables, transaction).count(range);
  for (const { existed, exists } of changed.values()) count += Number(existed) - Number(exists);
  return count;
}
