/**
 * Putting a sealed value in place of what was read, if that is still what lies there.
 *
 * Beside live API servers one object to a transaction, as kube-apiserver writes: several objects in one revision would be lost to a client that resumes
 * its watch between them. Where nobody watches, many to a transaction, which costs etcd and this process a fraction.
 */
import { StoreError, type Compare, type KeyValue, type Op, type Store } from '@waxseal/storage';
import type { Patience } from './store-patience.js';

/** @returns `written`, or what lies there instead; undefined: nothing does */
export type Swap = (current: KeyValue, value: Buffer) => Promise<KeyValue | 'written' | undefined>;

export function createSwap(store: Store, patience: Patience): Swap {
  return async (current, value) => {
    const { succeeded, results } = await patience(() =>
      store.txn({
        compare: [isStill(current)],
        success: [put(current, value)],
        failure: [{ kind: 'range', key: current.key }],
      }),
    );
    if (succeeded) return 'written';
    const read = results[0];
    return read?.kind === 'range' ? read.kvs[0] : undefined;
  };
}

/** Half of etcd's default `--max-txn-ops`. */
export const SHARED_MAX_OBJECTS = 64;
/** A third of etcd's default `--max-request-bytes`. */
const SHARED_MAX_BYTES = 512 * 1024;

interface Waiting {
  readonly current: KeyValue;
  readonly value: Buffer;
  readonly resolve: (outcome: Awaited<ReturnType<Swap>>) => void;
  readonly reject: (error: unknown) => void;
}

/** What is asked for at one time goes into one transaction. When one of its objects was changed meanwhile, or is refused, each is tried alone. */
export function createSharedSwap(store: Store, patience: Patience): Swap {
  const alone = createSwap(store, patience);
  let waiting: Waiting[] = [];
  let bytes = 0;

  const together = async (batch: readonly Waiting[]): Promise<void> => {
    let written = false;
    try {
      const { succeeded } = await patience(() =>
        store.txn({
          compare: batch.map(({ current }) => isStill(current)),
          success: batch.map(({ current, value }) => put(current, value)),
          failure: [],
        }),
      );
      written = succeeded;
    } catch (error) {
      // What etcd refuses together it may take alone; an outage has been waited for already.
      if (!(error instanceof StoreError)) {
        for (const { reject } of batch) reject(error);
        return;
      }
    }
    for (const { current, value, resolve, reject } of batch) {
      if (written) resolve('written');
      else alone(current, value).then(resolve, reject);
    }
  };
  const flush = (): void => {
    const batch = waiting;
    waiting = [];
    bytes = 0;
    if (batch.length > 0) void together(batch);
  };

  return (current, value) =>
    new Promise((resolve, reject) => {
      // All that becomes ready in one turn of the loop.
      if (waiting.length === 0) setImmediate(flush);
      waiting.push({ current, value, resolve, reject });
      bytes += current.key.length + value.length;
      if (waiting.length === SHARED_MAX_OBJECTS || bytes >= SHARED_MAX_BYTES) flush();
    });
}

const isStill = ({ key, modRevision }: KeyValue): Compare => ({
  key,
  target: 'modRevision',
  result: 'equal',
  number: modRevision,
});

/** The lease stays. etcd reads the old value twice to keep one; where there is none, and the revision says there still is none, it need not. */
const put = ({ key, lease }: KeyValue, value: Buffer): Op => ({
  kind: 'put',
  key,
  value,
  ignoreLease: lease !== 0n,
});
