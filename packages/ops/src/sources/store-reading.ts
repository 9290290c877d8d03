/** Ranges and failures of a Store, as sources need them. */
import { prefixRangeEnd, StoreError } from '@waxseal/storage';
import { OpsError } from '../errors.js';

/** The first key of a range must not be empty: etcd takes a zero byte for the lowest one. */
export function rangeOf(prefix: Buffer): { readonly key: Buffer; readonly rangeEnd: Buffer } {
  return { key: prefix.length === 0 ? Buffer.from([0]) : prefix, rangeEnd: prefixRangeEnd(prefix) };
}

/**
 * What a Store says, as an OpsError.
 *
 * @param signal aborted, it does not wait for the answer
 */
export async function readable<T>(name: string, answer: Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await (signal === undefined ? answer : unlessAborted(answer, signal));
  } catch (error) {
    throw toOpsError(name, error);
  }
}

/** @throws OpsError interrupted, at once; the answer is dropped */
export async function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  const waiting = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    const stop = (): void => {
      reject(new OpsError('interrupted', 'stopped; nothing was changed', signal.reason));
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true, signal: waiting.signal });
  });
  try {
    return await Promise.race([answer, aborted]);
  } finally {
    waiting.abort();
  }
}

/**
 * What opens, unless the signal aborts before; what opens after all is closed.
 *
 * @throws OpsError interrupted, at once
 */
export async function openUnlessAborted<Opened extends { close(): Promise<void> }>(
  opening: Promise<Opened>,
  signal: AbortSignal,
): Promise<Opened> {
  try {
    return await unlessAborted(opening, signal);
  } catch (error) {
    opening.then((late) => late.close()).catch(() => undefined);
    throw error;
  }
}

/** True: what was being read was compacted meanwhile; a newer revision can be read. */
export function isCompacted(error: unknown): boolean {
  if (error instanceof OpsError) return isCompacted(error.cause);
  return error instanceof StoreError && error.code === 'compacted';
}

/** Everything is read again after a compaction; one that comes again and again leaves too little time. */
const READINGS_MAX = 3;

/**
 * Reads the whole of a source, and once more from its beginning when its revision was compacted meanwhile.
 *
 * @param read opens the source anew, at its newest revision
 */
export async function againWhenCompacted<T>(read: () => Promise<T>): Promise<T> {
  for (let reading = 1; ; reading++) {
    try {
      return await read();
    } catch (error) {
      if (reading === READINGS_MAX || !isCompacted(error)) throw error;
    }
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
