/**
 * Patience with an etcd that has lost its leader or restarts: a call that failed because nobody could answer it is tried again for a
 * while. Only for calls that may be repeated: reads, and writes by compare-and-swap.
 */
import { setMaxListeners } from 'node:events';
import type { Clock } from '@waxseal/encryption-config';
import { StoreError } from '@waxseal/storage';
import { OpsError } from '../errors.js';

export interface PatienceOptions {
  readonly clock: Clock;
  /** How long one call may be repeated; a leader election takes one or two seconds. */
  readonly outageMs: number;
  readonly signal: AbortSignal;
}

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 3_000;

/** What is under way when the signal aborts has so long to end well: an etcd that is away must not hold who wants to stop. */
const STOP_GRACE_MS = 1_000;

/** Runs a call until it is answered. */
export type Patience = <T>(call: () => Promise<T>) => Promise<T>;

/**
 * The calls throw OpsError source-unreadable when the outage lasts, or when what failed will not get better by itself; interrupted when the
 * signal aborts and no answer comes.
 */
export function createPatience({ clock, outageMs, signal }: PatienceOptions): Patience {
  const underWay = createUnderWay(clock, signal);
  return async (call) => {
    const endMs = clock.monotonicMs() + outageMs;
    for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(2 * delayMs, MAX_DELAY_MS)) {
      try {
        return await underWay(call());
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        const transient = error.code === 'unavailable' || error.code === 'timeout';
        if (transient && signal.aborted) throw interrupted(signal);
        if (transient && clock.monotonicMs() + delayMs < endMs) {
          await sleep(clock, delayMs, signal);
          continue;
        }
        if (transient) {
          const message = `etcd has not answered for ${outageMs / 1000} s: ${error.message}`;
          throw new OpsError('source-unreadable', message, error);
        }
        if (STOPS.has(error.code)) throw new OpsError('source-unreadable', error.message, error);
        throw error;
      }
    }
  };
}

/** Calls that are given up a while after the signal aborts. */
function createUnderWay(clock: Clock, signal: AbortSignal): <T>(call: Promise<T>) => Promise<T> {
  const giveUps = new Set<() => void>();
  let cancel: (() => void) | undefined;
  const arm = (): void => {
    if (!signal.aborted || giveUps.size === 0) return;
    cancel ??= clock.schedule(STOP_GRACE_MS, () => {
      for (const giveUp of giveUps) giveUp();
    });
  };
  signal.addEventListener('abort', arm, { once: true });
  return (call) =>
    new Promise((resolve, reject) => {
      const giveUp = (): void => reject(interrupted(signal));
      giveUps.add(giveUp);
      arm();
      const over = (): void => {
        giveUps.delete(giveUp);
        if (giveUps.size > 0) return;
        cancel?.();
        cancel = undefined;
      };
      call.finally(over).then(resolve, reject);
    });
}

function interrupted(signal: AbortSignal): OpsError {
  return new OpsError(
    'interrupted',
    'stopped; what is rewritten stays so, and starting again goes on',
    signal.reason,
  );
}

/** What fails for one object and would fail for the next one, too. */
const STOPS: ReadonlySet<string> = new Set(['no-space', 'unauthenticated', 'corrupt', 'closed']);

/** The same signal for a run in which every worker may wait on it: their number is no leak. */
export function signalForMany(signal: AbortSignal): AbortSignal {
  const own = AbortSignal.any([signal]);
  setMaxListeners(0, own);
  return own;
}

/** Ends early, without error, when `signal` aborts. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      cancel();
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const cancel = clock.schedule(delayMs, wake);
    signal.addEventListener('abort', wake, { once: true });
    if (signal.aborted) wake();
  });
}
