/**
 * A token bucket: a limit on the rate of calls that lets short bursts through.
 *
 * It starts full, fills at `perSecond`, and never holds more than `burst`. Over any span of time at most
 * `burst + perSecond × seconds` tokens are taken.
 */
import type { Clock } from './clock.js';
import { KmsPluginError } from './errors.js';

export interface TokenBucketOptions {
  /** Tokens that come back in a second; above 0. */
  readonly perSecond: number;
  /** The most tokens there are at one time; at least 1. */
  readonly burst: number;
  readonly clock: Clock;
}

export interface TokenBucket {
  /** Takes one token, or none and says no. */
  tryTake(): boolean;
  /** How long until `tryTake` says yes, if nobody else takes one; 0 when it would now. */
  waitMs(): number;
}

// Sums of fractions miss a whole token by some 1e-16; without this a call could wait for a timer of 0 ms again and again.
const slack = 1e-9;

/** @throws KmsPluginError `invalid_options` */
export function createTokenBucket({ perSecond, burst, clock }: TokenBucketOptions): TokenBucket {
  if (!Number.isFinite(perSecond) || perSecond <= 0 || !Number.isFinite(burst) || burst < 1)
    throw new KmsPluginError(
      'invalid_options',
      'A rate limit needs a rate above 0 and a burst of at least 1.',
    );
  let tokens = burst;
  let filledMs = clock.nowMs();
  const fill = (): void => {
    const nowMs = clock.nowMs();
    tokens = Math.min(burst, tokens + (Math.max(0, nowMs - filledMs) * perSecond) / 1000);
    filledMs = nowMs;
  };
  return {
    tryTake: () => {
      fill();
      if (tokens < 1 - slack) return false;
      tokens = Math.max(0, tokens - 1);
      return true;
    },
    waitMs: () => {
      fill();
      return tokens >= 1 - slack ? 0 : Math.ceil(((1 - tokens) * 1000) / perSecond);
    },
  };
}
