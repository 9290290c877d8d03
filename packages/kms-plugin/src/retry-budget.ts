/**
 * How many retries all calls together may make: a backend that is down gets hardly more calls than one that works.
 *
 * The scheme of the AWS SDKs' standard retry mode: a full bucket of 500, 5 for a retry, 10 for one after a timeout, what a
 * retried call paid comes back when it succeeds, and every success at the first attempt gives 1.
 */

export interface RetryBudget {
  /** Pays for one retry; 0 says that there is not enough left. */
  pay(afterTimeout: boolean): number;
  /** @param paid what the last retry of the call cost; 0 for a call that needed none */
  succeeded(paid: number): void;
}

const retryCost = 5;
const timeoutRetryCost = 10;

/** @param capacity 0 means no retries; 500 in the AWS SDKs */
export function createRetryBudget(capacity: number): RetryBudget {
  let left = capacity;
  return {
    pay: (afterTimeout) => {
      const cost = afterTimeout ? timeoutRetryCost : retryCost;
      if (cost > left) return 0;
      left -= cost;
      return cost;
    },
    succeeded: (paid) => {
      left = Math.min(capacity, left + Math.max(1, paid));
    },
  };
}
