/**
 * What stands before one key's backend when things go wrong: a circuit breaker for each operation, retries within the
 * deadline, and a gate with a rate limit that every attempt goes through.
 */
import { createCallGate, type Priority } from './call-gate.js';
import { createCircuitBreaker, type BreakerState } from './circuit-breaker.js';
import type { Clock } from './clock.js';
import { withDeadline, type Deadline } from './deadline.js';
import { KmsPluginError, overloaded, ProviderError, toProviderError } from './errors.js';
import type { Operation } from './key-health.js';
import { withRetries } from './retry.js';
import { createRetryBudget } from './retry-budget.js';
import { createTokenBucket } from './token-bucket.js';

/** Limits on the calls to one key's backend. */
export interface CallLimits {
  /** Calls under way at one time; 128 by default. */
  readonly inFlightMax?: number | undefined;
  /** Calls that wait for their turn; 1024 by default. Those beyond are refused. */
  readonly queueMax?: number | undefined;
  /** Calls in a second, retries and probes included; no limit by default. What is over it waits for its turn, Decrypts first. */
  readonly qpsLimit?: number | undefined;
  /** Calls that may go at once after a pause; `qpsLimit` by default. */
  readonly burstLimit?: number | undefined;
  /** Attempts per call, the first included; 3 by default. */
  readonly attemptsMax?: number | undefined;
  /**
   * How many retries all calls may make between successes: each costs 5, after a timeout 10; 500 by default, as in the AWS
   * SDKs. 0 means none.
   */
  readonly retryTokenCapacity?: number | undefined;
  /** Calls that fail as `unavailable` one after the other until the backend is left alone for a while; 5 by default. */
  readonly breakerFailuresMax?: number | undefined;
}

/** Told what the guard does, for metrics. */
export interface GuardObserver {
  retried(operation: Operation, failed: ProviderError): void;
  rateLimited(): void;
  breakerChanged(operation: Operation, state: BreakerState): void;
  shortCircuited(operation: Operation): void;
}

export interface GuardOptions {
  readonly clock: Clock;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  readonly limits: CallLimits;
  readonly observer: GuardObserver;
}

export interface Guard {
  /**
   * @param deadline for all attempts together, the time in line included
   * @param attempt one call to the backend
   * @throws ProviderError
   */
  run<T>(
    operation: Operation,
    priority: Priority,
    deadline: Deadline,
    caller: AbortSignal | undefined,
    attempt: (signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
  /** Calls that wait for their turn. */
  queued(priority: Priority): number;
  /** Calls under way. */
  inFlight(): number;
}

interface CallState {
  place: 'outside' | 'in line' | 'inside';
  over: boolean;
}

/** With less, no call would ever go. */
const least = {
  inFlightMax: 1,
  queueMax: 0,
  attemptsMax: 1,
  retryTokenCapacity: 0,
  breakerFailuresMax: 1,
} as const;

const breakerOpenMs = 500;
// No longer than the plugin promises to need until it has noticed that the backend is back.
const breakerOpenLongestMs = 5000;

/** @throws KmsPluginError `invalid_options` */
export function createGuard({ clock, random, limits, observer }: GuardOptions): Guard {
  for (const [name, leastValue] of Object.entries(least)) {
    const value = limits[name as keyof typeof least];
    if (value !== undefined && !(Number.isInteger(value) && value >= leastValue)) {
      throw new KmsPluginError(
        'invalid_options',
        `${name} must be a whole number of at least ${leastValue}.`,
      );
    }
  }
  const { qpsLimit } = limits;
  const gate = createCallGate({
    clock,
    inFlightMax: limits.inFlightMax ?? 128,
    queueMax: limits.queueMax ?? 1024,
    rateLimit:
      qpsLimit === undefined
        ? undefined
        : createTokenBucket({
            perSecond: qpsLimit,
            burst: limits.burstLimit ?? Math.max(1, Math.ceil(qpsLimit)),
            clock,
          }),
    onRateLimited: () => observer.rateLimited(),
  });
  const budget = createRetryBudget(limits.retryTokenCapacity ?? 500);
  const perOperation = (operation: Operation) => ({
    breaker: createCircuitBreaker({
      clock,
      random,
      failuresMax: limits.breakerFailuresMax ?? 5,
      openMs: breakerOpenMs,
      openLongestMs: breakerOpenLongestMs,
      onChange: (state) => observer.breakerChanged(operation, state),
    }),
    retries: {
      clock,
      random,
      budget,
      attemptsMax: limits.attemptsMax ?? 3,
      onRetry: (failed: ProviderError) => observer.retried(operation, failed),
    },
    // A probe comes back by itself, and half-open is one try.
    once: { clock, random, budget, attemptsMax: 1, onRetry: () => {} },
  });
  const ways = { encrypt: perOperation('encrypt'), decrypt: perOperation('decrypt') };

  return {
    queued: (priority) => gate.queued(priority),
    inFlight: () => gate.inFlight(),
    run: async (operation, priority, deadline, caller, attempt) => {
      const { breaker, retries, once } = ways[operation];
      const probe = priority === 'probe';
      const refusal = breaker.refusal(probe);
      if (refusal !== undefined) {
        observer.shortCircuited(operation);
        throw refusal;
      }
      const retry = probe || breaker.state === 'half-open' ? once : retries;
      const endMs = clock.nowMs() + deadline.timeoutMs;
      const call: CallState = { place: 'outside', over: false };
      const leave = (): void => {
        if (call.place === 'inside') gate.leave();
        call.place = 'outside';
      };
      try {
        const value = await withDeadline(clock, deadline, caller, (signal) =>
          withRetries(retry, endMs, signal, async () => {
            if (!gate.tryEnter(priority)) {
              call.place = 'in line';
              await gate.wait(priority, signal);
            }
            call.place = 'inside';
            try {
              // The turn may come in the same moment as the deadline.
              if (call.over) throw new ProviderError('no turn in time', overloaded);
              return await attempt(signal);
            } finally {
              leave();
            }
          }),
        );
        breaker.ended(undefined, probe);
        return value;
      } catch (error) {
        const failed = toProviderError(error);
        const told =
          failed.failure === deadline.failure && call.place === 'in line'
            ? new ProviderError('no turn in time', overloaded)
            : failed;
        breaker.ended(told, probe);
        throw told;
      } finally {
        // A backend that does not heed the signal must not keep its place for ever.
        call.over = true;
        leave();
      }
    },
  };
}
