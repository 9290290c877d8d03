/** A token bucket: so many writes a second on average, a tenth of a second's worth of them at once. */
import type { Clock } from '@waxseal/encryption-config';
import { sleep } from './store-patience.js';

/** Resolves when one more write may begin, in the order of the calls; at once when `signal` aborts. */
export type RateLimit = (signal: AbortSignal) => Promise<void> | undefined;

/** @param perSecond undefined: no limit */
export function createRateLimit(perSecond: number | undefined, clock: Clock): RateLimit {
  if (perSecond === undefined) return () => undefined;
  const perMs = perSecond / 1000;
  const burst = Math.max(1, perSecond / 10);
  let tokens = burst;
  let filledMs = clock.monotonicMs();
  return (signal) => {
    const nowMs = clock.monotonicMs();
    tokens = Math.min(burst, tokens + (nowMs - filledMs) * perMs);
    filledMs = nowMs;
    // Below zero: what is owed is taken from the time to come, so each caller waits behind the ones before.
    tokens -= 1;
    return tokens >= 0 ? undefined : sleep(clock, Math.ceil(-tokens / perMs), signal);
  };
}
