/** Time as a parameter: what runs on it can be tested in no time. */

export interface Clock {
  /** Milliseconds since the epoch; may jump when the machine's clock is set. */
  nowMs(): number;
  /** Milliseconds since some fixed moment; never jumps. For durations. */
  monotonicMs(): number;
  /** Calls `run` once after `delayMs`; the returned function prevents it. */
  schedule(delayMs: number, run: () => void): () => void;
}

/** Timers do not keep the process alive. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  schedule: (delayMs, run) => {
    const timer = setTimeout(run, delayMs).unref();
    return () => {
      clearTimeout(timer);
    };
  },
};
