/** Time as leases need it: a clock that never goes back, and timers on it. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back, whatever the wall clock does. */
  now(): number;
  /** Calls once after `delayMs`. Returns what cancels it. Must not keep the process alive. */
  setTimer(callback: () => void, delayMs: number): () => void;
}

export const monotonicClock: Clock = {
  now: () => performance.now(),
  setTimer: (callback, delayMs) => {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
