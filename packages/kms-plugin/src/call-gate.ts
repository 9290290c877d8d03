/**
 * Who may call the backend now: a bounded number of calls under way, a bounded line before it, and a rate.
 *
 * Decrypts go first, because reads of the API server wait for them; then Encrypts; then probes. Whoever cannot even wait is
 * refused: the youngest of the least important ones in line, or the newcomer when it is no more important than they.
 */
import type { Clock } from './clock.js';
import { overloaded, ProviderError } from './errors.js';
import type { TokenBucket } from './token-bucket.js';

/** Most important first. */
export const priorities = ['decrypt', 'encrypt', 'probe'] as const;
export type Priority = (typeof priorities)[number];

export interface CallGateOptions {
  readonly clock: Clock;
  /** Calls under way at one time. */
  readonly inFlightMax: number;
  /** Calls in line at one time. */
  readonly queueMax: number;
  /** Every call takes a token; no limit on the rate without it. */
  readonly rateLimit?: TokenBucket | undefined;
  /** Told once of each call that waits, or is refused, while the rate limit holds the line. */
  readonly onRateLimited: () => void;
}

export interface CallGate {
  /** Calls in line. */
  queued(priority: Priority): number;
  inFlight(): number;
  /** True when the call may go at once. It says `leave` when it has ended. */
  tryEnter(priority: Priority): boolean;
  /**
   * Stands in line; resolves when the call may go. It says `leave` when it has ended.
   *
   * @param signal aborts when the call need not go any more; it then leaves the line
   * @throws ProviderError class `throttled`: the line is full, or the time is over
   */
  wait(priority: Priority, signal: AbortSignal): Promise<void>;
  leave(): void;
}

interface Waiter {
  readonly go: () => void;
  readonly refuse: () => void;
  /** Whether it has been told as limited, or how often the line had waited for a token when it joined. */
  tokenWaitsBefore: number | 'told';
}

const queueFull = (): ProviderError => new ProviderError('too many calls in line', overloaded);

export function createCallGate(options: CallGateOptions): CallGate {
  const { clock, rateLimit } = options;
  // Sets keep their order and let a waiter go from the middle.
  const lines: Readonly<Record<Priority, Set<Waiter>>> = {
    decrypt: new Set(),
    encrypt: new Set(),
    probe: new Set(),
  };
  let inFlight = 0;
  let queued = 0;
  let tokenTimer: (() => void) | undefined;
  let tokenWaits = 0;

  const take = (): boolean => {
    if (inFlight >= options.inFlightMax) return false;
    if (rateLimit !== undefined && !rateLimit.tryTake()) {
      waitForToken(rateLimit);
      return false;
    }
    inFlight += 1;
    return true;
  };
  const waitForToken = (bucket: TokenBucket): void => {
    if (tokenTimer !== undefined) return;
    tokenWaits += 1;
    tokenTimer = clock.after(Math.max(1, bucket.waitMs()), () => {
      tokenTimer = undefined;
      admit();
    });
  };
  /** Lets in whoever is next, for as long as there is room. */
  const admit = (): void => {
    for (let next = first(); next !== undefined && take(); next = first()) next.go();
  };
  const first = (): Waiter | undefined => {
    for (const priority of priorities) {
      for (const waiter of lines[priority]) return waiter;
    }
    return undefined;
  };
  /** The youngest of the least important, if it is less important than `than`. */
  const lessImportant = (than: Priority): Waiter | undefined => {
    for (let i = priorities.length - 1; i > priorities.indexOf(than); i -= 1) {
      const line = lines[priorities[i] as Priority];
      if (line.size > 0) return [...line].at(-1);
    }
    return undefined;
  };

  return {
    queued: (priority) => lines[priority].size,
    inFlight: () => inFlight,
    tryEnter: () => {
      if (queued > 0) return false;
      return take();
    },
    wait: (priority, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(new ProviderError('no turn in time', overloaded));
          return;
        }
        if (queued >= options.queueMax) {
          const refused = lessImportant(priority);
          if (refused === undefined) {
            if (tokenTimer !== undefined) options.onRateLimited();
            reject(queueFull());
            return;
          }
          refused.refuse();
        }
        const line = lines[priority];
        const step = (): void => {
          if (line.delete(waiter)) queued -= 1;
          if (waiter.tokenWaitsBefore !== 'told' && tokenWaits > waiter.tokenWaitsBefore)
            options.onRateLimited();
          signal.removeEventListener('abort', onAbort);
        };
        const onAbort = (): void => {
          step();
          reject(new ProviderError('no turn in time', overloaded));
        };
        const waiter: Waiter = {
          go: () => {
            step();
            resolve();
          },
          refuse: () => {
            step();
            reject(queueFull());
          },
          tokenWaitsBefore: tokenWaits,
        };
        if (tokenTimer !== undefined) {
          waiter.tokenWaitsBefore = 'told';
          options.onRateLimited();
        }
        line.add(waiter);
        queued += 1;
        signal.addEventListener('abort', onAbort, { once: true });
        admit();
      }),
    leave: () => {
      inFlight -= 1;
      admit();
    },
  };
}
