/**
 * A second way to the same answer, taken when the first one is slow or fails: the 99th percentile of one key backend is not
 * that of two.
 */
import type { Clock } from './clock.js';
import { givenUp, ProviderError, toProviderError } from './errors.js';

export interface HedgeOptions<T> {
  readonly clock: Clock;
  /** How long the first way has for itself. */
  readonly delayMs: number;
  readonly caller?: AbortSignal;
  /** Gets the answer that came second: its plaintext is to be overwritten. */
  readonly discard: (late: T) => void;
}

/**
 * Starts `primary`; starts `secondary` too when `delayMs` have gone by or `primary` has failed. The first success is the
 * answer, and the other way is aborted.
 *
 * @throws ProviderError: why `primary` failed, when both did; `cancelled` when the caller gave up
 */
export function hedge<T>(
  primary: (signal: AbortSignal) => Promise<T>,
  secondary: (signal: AbortSignal) => Promise<T>,
  options: HedgeOptions<T>,
): Promise<T> {
  const { clock, caller, discard } = options;
  return new Promise((resolve, reject) => {
    const aborts = [new AbortController(), new AbortController()] as const;
    const failures: [ProviderError?, ProviderError?] = [];
    let settled = false;
    let secondStarted = false;

    const settle = (): void => {
      settled = true;
      cancelTimer();
      caller?.removeEventListener('abort', onCallerAbort);
      for (const abort of aborts) abort.abort();
    };
    const run = async (way: 0 | 1, operation: (signal: AbortSignal) => Promise<T>): Promise<void> => {
      let value: T;
      try {
        value = await operation(aborts[way].signal);
      } catch (error) {
        failures[way] = toProviderError(error);
        if (settled) return;
        startSecond();
        const [first, second] = failures;
        if (first !== undefined && second !== undefined) {
          settle();
          reject(first);
        }
        return;
      }
      if (settled) {
        discard(value);
        return;
      }
      settle();
      resolve(value);
    };
    const startSecond = (): void => {
      if (secondStarted) return;
      secondStarted = true;
      cancelTimer();
      void run(1, secondary);
    };
    const onCallerAbort = (): void => {
      settle();
      reject(new ProviderError('cancelled', givenUp));
    };
    let cancelTimer = (): void => {};
    if (caller?.aborted === true) {
      onCallerAbort();
      return;
    }
    caller?.addEventListener('abort', onCallerAbort, { once: true });
    cancelTimer = clock.after(options.delayMs, startSecond);
    void run(0, primary);
  });
}
