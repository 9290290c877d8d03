/** Ranges and failures of a Store, as sources need them. */
import { prefixRangeEnd, StoreError } from '@waxseal/storage';
import { OpsError } from '../errors.js';

/** The first key of a range must not be empty: etcd takes a zero byte for the lowest one. */
export function rangeOf(prefix: Buffer): { readonly key: Buffer; readonly rangeEnd: Buffer } {
  return { key: prefix.length === 0 ? Buffer.from([0]) : prefix, rangeEnd: prefixRangeEnd(prefix) };
}

/** What a Store says, as an OpsError. */
export async function readable<T>(name: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw toOpsError(name, error);
  }
}

export function toOpsError(name: string, error: unknown): unknown {
  if (!(error instanceof StoreError)) return error;
  if (error.code === 'compacted') {
    return new OpsError(
      'source-unreadable',
      `${name} was compacted beyond the revision that was being read (an API server compacts every 5 minutes). Nothing was changed: run it again, or read a snapshot.`,
      error,
    );
  }
  const code = error.code === 'corrupt' ? 'source-damaged' : 'source-unreadable';
  return new OpsError(code, `${name} cannot be read: ${error.message}`, error);
}
