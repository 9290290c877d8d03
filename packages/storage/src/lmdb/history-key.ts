/**
 * Where a replaced version lies in `history`: the escaped key, then its modRevision. All versions of a key are
 * neighbours, oldest first, and keys follow each other in their own order.
 */
import { StoreError } from '../store.js';
import { escapedKey, readRevision, unescapedKey, writeRevision } from './bytes.js';

const END_MARK_BYTES = 2;
const REVISION_BYTES = 8;

export function historyKey(key: Buffer, revision: number): Buffer {
  const bytes = escapedKey(key, REVISION_BYTES);
  writeRevision(bytes, revision, bytes.length - REVISION_BYTES);
  return bytes;
}

/** The first possible place of a key, where ranges start and end. */
export function historyBound(key: Buffer): Buffer {
  return escapedKey(key, 0);
}

/** How much room `history` needs for a key, whatever the revision. */
export function historyKeyBytes(key: Buffer): number {
  let zeros = 0;
  for (let at = key.indexOf(0); at >= 0; at = key.indexOf(0, at + 1)) zeros++;
  return key.length + zeros + END_MARK_BYTES + REVISION_BYTES;
}

/** The escaped key of an entry, end mark and revision cut off: equal for all versions of a key. */
export function historyOwner(bytes: Buffer): Buffer {
  if (bytes.length <= END_MARK_BYTES + REVISION_BYTES) {
    throw new StoreError(
      'corrupt',
      'a key of the history is damaged; restore the data directory from a backup',
    );
  }
  return bytes.subarray(0, bytes.length - END_MARK_BYTES - REVISION_BYTES);
}

export function historyRevision(bytes: Buffer): number {
  return readRevision(bytes, bytes.length - REVISION_BYTES);
}

export function ownerKey(owner: Buffer): Buffer {
  return unescapedKey(owner);
}
