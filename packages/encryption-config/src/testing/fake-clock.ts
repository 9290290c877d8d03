/** A clock that moves only when a test says so. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.js';

export interface FakeClock extends Clock {
  /** Moves on by `ms`, running what is due in order and letting its promises settle. */
  advance(ms: number): Promise<void>;
  /** Timers that wait. */
  pending(): number;
}

export function createFakeClock(startMs = Date.UTC(2026, 0, 1)): FakeClock {
  let nowMs = startMs;
  const timers = new Set<{ readonly dueMs: number; readonly run: () => void }>();
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs - startMs,
    schedule(delayMs, run) {
      const timer = { dueMs: nowMs + delayMs, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async advance(ms) {
      const endMs = nowMs + ms;
      for (;;) {
        await settle();
        const due = [...timers].filter((t) => t.dueMs <= endMs).toSorted((a, b) => a.dueMs - b.dueMs)[0];
        if (due === undefined) break;
        timers.delete(due);
        nowMs = Math.max(nowMs, due.dueMs);
        due.run();
      }
      nowMs = endMs;
      await settle();
    },
    pending: () => timers.size,
  };
}

/** Enough turns of the event loop for chains of promises that touch no I/O, and for a small file to be read. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await nextTurn();
}
