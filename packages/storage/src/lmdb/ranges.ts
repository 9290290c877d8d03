/** etcd's ranges: `[key, rangeEnd)`, one key, or everything from a key on. */
import type { KeyRange } from '../store.js';

/** True for a range of one key. */
export function isSingleKey({ rangeEnd }: KeyRange): boolean {
  return rangeEnd === undefined || rangeEnd.length === 0;
}

/** The exclusive end, undefined for none. Only for ranges that are not a single key. */
export function rangeLimit({ rangeEnd }: KeyRange): Buffer | undefined {
  const open = rangeEnd === undefined || (rangeEnd.length === 1 && rangeEnd[0] === 0);
  return open ? undefined : rangeEnd;
}

export function rangeContains(range: KeyRange, key: Buffer): boolean {
  if (isSingleKey(range)) return key.equals(range.key);
  if (key.compare(range.key) < 0) return false;
  const end = rangeLimit(range);
  return end === undefined || key.compare(end) < 0;
}

/** True when no key can be in the range. */
export function isEmptyRange(range: KeyRange): boolean {
  if (isSingleKey(range)) return false;
  const end = rangeLimit(range);
  return end !== undefined && end.compare(range.key) <= 0;
}

/** The smallest key greater than `key`. */
export function successor(key: Buffer): Buffer {
  const next = Buffer.allocUnsafe(key.length + 1);
  key.copy(next);
  next[key.length] = 0;
  return next;
}
