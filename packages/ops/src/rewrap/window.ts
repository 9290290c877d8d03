/**
 * Work on several things at once whose batches are reported in order: a batch is done when all of it and of every batch before it is. That
 * is what a checkpoint may say.
 */

export interface WindowOptions<Batch> {
  /** Tasks at once. */
  readonly workers: number;
  /** Batches of which something is under way. */
  readonly maxBatches: number;
  readonly onBatchDone: (batch: Batch) => void;
}

export interface Window<Batch> {
  /** Resolves when there is room for one more. @throws what a task of the oldest batch threw */
  openBatch(batch: Batch): Promise<void>;
  /** Starts a task of the open batch as soon as a worker is free. @throws what any task before threw */
  run(task: () => Promise<void>): Promise<void>;
  /** No more tasks in it. A batch left open is never done. */
  closeBatch(): void;
  /** Resolves when nothing is under way. @throws what a task threw, or `onBatchDone` */
  drain(): Promise<void>;
}

interface Open<Batch> {
  readonly batch: Batch;
  running: number;
  closed: boolean;
}

export function createWindow<Batch>(options: WindowOptions<Batch>): Window<Batch> {
  const { workers, maxBatches, onBatchDone } = options;
  const open: Open<Batch>[] = [];
  const state: { running: number; failure: { readonly error: unknown } | undefined } = {
    running: 0,
    failure: undefined,
  };
  let wake: () => void = () => undefined;

  const report = (): void => {
    // Behind a failed task nothing is done in order.
    while (state.failure === undefined && open[0]?.closed === true && open[0].running === 0) {
      const { batch } = open.shift() as Open<Batch>;
      try {
        onBatchDone(batch);
      } catch (error) {
        state.failure = { error };
      }
    }
    wake();
  };
  /** One caller at a time: the window belongs to one loop. */
  const until = async (ready: () => boolean): Promise<void> => {
    while (!ready() && state.failure === undefined) await new Promise<void>((resolve) => (wake = resolve));
    if (state.failure !== undefined) throw state.failure.error;
  };

  return {
    async openBatch(batch) {
      await until(() => open.length < maxBatches);
      open.push({ batch, running: 0, closed: false });
    },
    async run(task) {
      if (state.running >= workers || state.failure !== undefined) await until(() => state.running < workers);
      const own = open.at(-1) as Open<Batch>;
      state.running++;
      own.running++;
      void task()
        .catch((error: unknown) => {
          state.failure ??= { error };
        })
        .finally(() => {
          state.running--;
          own.running--;
          report();
        });
    },
    closeBatch() {
      const last = open.at(-1);
      if (last !== undefined) last.closed = true;
      report();
    },
    async drain() {
      while (state.running > 0) await new Promise<void>((resolve) => (wake = resolve));
      if (state.failure !== undefined) throw state.failure.error;
    },
  };
}
