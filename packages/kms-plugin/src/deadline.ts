/**
 * A limit on how long one backend call may take, whatever the backend does with its signal, and inside the time its caller
 * waits.
 */
import type { Clock } from './clock.js';
import { givenUp, ProviderError, timedOut, tooImpatient, toProviderError, type Failure } from './errors.js';

/** What is known of who asks. */
export interface Caller {
  /** Aborts when it is gone. */
  readonly signal?: AbortSignal | undefined;
  /** How long it waits from now. */
  readonly timeoutMs?: number | undefined;
}

export interface Deadline {
  readonly timeoutMs: number;
  /** What a call is that does not end in time. */
  readonly failure: Failure;
}

// For the way back of the answer: a tenth of what the caller waits, at most 200 ms.
const marginShare = 0.1;
const marginMaxMs = 200;
/** A backend that does not answer in less time than this may be in perfect health. */
const fairMs = 500;

/** The time for one call: the configured one, or less where the caller waits less long. */
export function deadlineOf(configuredMs: number, caller: Caller): Deadline {
  const waitsMs = caller.timeoutMs ?? Infinity;
  const leftMs = waitsMs === Infinity ? Infinity : waitsMs - Math.min(marginMaxMs, waitsMs * marginShare);
  if (leftMs >= configuredMs) return { timeoutMs: configuredMs, failure: timedOut };
  return { timeoutMs: Math.max(0, leftMs), failure: leftMs < fairMs ? tooImpatient : timedOut };
}

/**
 * Runs `operation` with a signal that aborts when the caller's does or the time is over; then also rejects at once.
 *
 * @param deadline ms, or with a failure of its own
 * @throws ProviderError only: the deadline's failure, `givenUp`, or what the operation rejects with
 */
export function withDeadline<T>(
  clock: Clock,
  deadline: Deadline | number,
  caller: AbortSignal | undefined,
  operation: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { timeoutMs, failure } =
    typeof deadline === 'number' ? { timeoutMs: deadline, failure: timedOut } : deadline;
  return new Promise((resolve, reject) => {
    const abort = new AbortController();
    const stop = (error: ProviderError): void => {
      settle();
      abort.abort(error);
      reject(error);
    };
    const onCallerAbort = (): void => {
      stop(new ProviderError('cancelled', givenUp));
    };
    const cancelTimer = clock.after(timeoutMs, () => {
      stop(new ProviderError('timeout', failure));
    });
    const settle = (): void => {
      cancelTimer();
      caller?.removeEventListener('abort', onCallerAbort);
    };
    if (caller?.aborted === true) {
      onCallerAbort();
      return;
    }
    caller?.addEventListener('abort', onCallerAbort, { once: true });
    const run = async (): Promise<void> => {
      try {
        resolve(await operation(abort.signal));
      } catch (error) {
        reject(toProviderError(error));
      } finally {
        settle();
      }
    };
    void run();
  });
}
