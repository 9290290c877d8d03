/**
 * Trying again, for failures that pass: full jitter between attempts, never beyond the deadline.
 *
 * Source of the scheme: "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), `sleep = random(0, base × 2^n)`.
 */
import type { Clock } from './clock.js';
import { givenUp, overloaded, ProviderError, toProviderError } from './errors.js';
import type { RetryBudget } from './retry-budget.js';

export interface RetryOptions {
  readonly clock: Clock;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  readonly budget: RetryBudget;
  /** The first included. */
  readonly attemptsMax: number;
  readonly onRetry: (failed: ProviderError) => void;
}

const baseMs = 25;
const longestMs = 1000;
/** An attempt that has less time than this is not worth its load. */
export const attemptLeastMs = 50;

/**
 * @param endMs on the clock of `options`; no attempt begins later than 50 ms before it
 * @throws ProviderError: the last failure, or `cancelled` when the signal aborts between two attempts
 */
export async function withRetries<T>(
  options: RetryOptions,
  endMs: number,
  signal: AbortSignal,
  attempt: () => Promise<T>,
): Promise<T> {
  const { clock, budget } = options;
  let paid = 0;
  for (let attempts = 1; ; attempts += 1) {
    try {
      const value = await attempt();
      budget.succeeded(paid);
      return value;
    } catch (error) {
      const failed = toProviderError(error);
      if (attempts >= options.attemptsMax || !passes(failed) || signal.aborted) throw failed;
      const delayMs = options.random() * Math.min(longestMs, baseMs * 2 ** attempts);
      if (clock.nowMs() + delayMs + attemptLeastMs > endMs) throw failed;
      paid = budget.pay(failed.failure.code === 'deadline_exceeded');
      if (paid === 0) throw failed;
      options.onRetry(failed);
      await pause(clock, delayMs, signal);
    }
  }
}

/**
 * Failures of the moment. A refusal, a damaged ciphertext or a wrong key is the same the next time, and who was refused a place
 * in line should not stand in it again.
 */
function passes({ failure }: ProviderError): boolean {
  if (failure === overloaded) return false;
  return failure.class === 'unavailable' || failure.class === 'throttled';
}

function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      cancel();
      reject(new ProviderError('cancelled', givenUp));
    };
    const cancel = clock.after(delayMs, () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
