/**
 * Stops asking a backend that does not answer: a call that would wait for a timeout is answered at once instead, with
 * the reason of the last real failure.
 *
 *   closed ──failures in a row──▶ open ──time──▶ half-open ──success──▶ closed
 *                                  ▲                │
 *                                  └────failure─────┘  (open twice as long)
 *
 * Only failures of class `unavailable` count, timeouts among them. One breaker serves one operation with one key, so that an
 * Encrypt that fails stops no Decrypt.
 */
import type { Clock } from './clock.js';
import { overloaded, ProviderError } from './errors.js';

export type BreakerState = 'closed' | 'open' | 'half-open';

export interface CircuitBreakerOptions {
  readonly clock: Clock;
  /** 0 ≤ x < 1; the breakers of many machines should not close at one time. */
  readonly random: () => number;
  /** Failures in a row that open it. */
  readonly failuresMax: number;
  /** How long it stays open the first time. */
  readonly openMs: number;
  /** The longest it stays open without a try. */
  readonly openLongestMs: number;
  readonly onChange: (state: BreakerState) => void;
}

export interface CircuitBreaker {
  readonly state: BreakerState;
  /**
   * Whether a call may go to the backend. Who is let in says by `ended` how it went.
   *
   * @param probe a probe always may: there is one at a time, and it finds out that the backend is back
   * @returns what to answer instead, or undefined
   */
  refusal(probe: boolean): ProviderError | undefined;
  /**
   * @param error undefined for a success; a refusal by the backend is an answer as well
   * @param probe as it was given to `refusal`
   */
  ended(error: ProviderError | undefined, probe: boolean): void;
}

export function createCircuitBreaker(options: CircuitBreakerOptions): CircuitBreaker {
  const { clock } = options;
  let state: BreakerState = 'closed';
  let failures = 0;
  let openMs = options.openMs;
  let openUntilMs = 0;
  let last: ProviderError | undefined;

  const become = (next: BreakerState): void => {
    if (state === next) return;
    state = next;
    options.onChange(next);
  };
  const open = (): void => {
    // Between half of the time and all of it.
    openUntilMs = clock.nowMs() + openMs * (0.5 + options.random() / 2);
    openMs = Math.min(openMs * 2, options.openLongestMs);
    become('open');
  };

  return {
    get state() {
      return state;
    },
    refusal: (probe) => {
      if (probe || state === 'closed' || last === undefined) return undefined;
      if (state === 'open' && clock.nowMs() >= openUntilMs) {
        become('half-open');
        return undefined;
      }
      return new ProviderError(`not tried after ${last.reason}`, { ...last.failure, code: 'unavailable' });
    },
    ended: (error, probe) => {
      if (error !== undefined && saysNothing(error)) {
        if (state !== 'half-open' || probe) return;
        // The try did not take place; the next call is one.
        openUntilMs = clock.nowMs();
        become('open');
      } else if (error?.failure.class === 'unavailable') {
        last = error;
        failures += 1;
        if (state === 'half-open' ? !probe : state === 'closed' && failures >= options.failuresMax) open();
      } else {
        failures = 0;
        openMs = options.openMs;
        last = undefined;
        become('closed');
      }
    },
  };
}

/** True when the failure happened on this side of the backend. */
function saysNothing({ failure }: ProviderError): boolean {
  return failure === overloaded || failure.class === 'cancelled';
}
