/** Timers as a parameter, so that tests need not wait. */

/** Calls `task` once after `delayMs`; the returned function cancels it. */
export type Schedule = (task: () => void, delayMs: number) => () => void;

/** The clock of the process; a waiting task does not keep it alive. */
export const systemSchedule: Schedule = (task, delayMs) => {
  const timer = setTimeout(task, delayMs);
  timer.unref();
  return () => clearTimeout(timer);
};
