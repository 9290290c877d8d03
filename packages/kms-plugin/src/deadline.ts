/** A limit on how long one backend call may take, whatever the backend does with its signal. */
import type { Clock } from './clock.js';
import { givenUp, ProviderError, timedOut, toProviderError } from './errors.js';

/**
 * Runs `operation` with a signal that aborts when the caller's does or the time is over; then also rejects at once.
 *
 * @throws ProviderError only: `timedOut`, `givenUp`, or what the operation rejects with
 */
export function withDeadline<T>(
  clock: Clock,
  timeoutMs: number,
  caller: AbortSignal | undefined,
  operation: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
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
      stop(new ProviderError('timeout', timedOut));
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
