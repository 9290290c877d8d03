/** Time as a parameter. */
export interface Clock {
  /** Milliseconds; only differences mean something. */
  nowMs(): number;
  /** Runs `run` once after `delayMs`; the returned function calls it off. Never keeps the process alive. */
  after(delayMs: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};
