/** How long-running commands live: announce readiness, wait for a signal, close everything in order. */
import { CliError, exitCodes } from './errors.js';

/** Something that runs until it is closed. */
export interface Running {
  close(): Promise<void>;
}

/** A close that takes longer than this is given up. */
const closeTimeoutMs = 15_000;

/**
 * Collects what has been started, so that a failure half-way closes the started part, newest first, and a signal
 * closes all of it.
 */
export class Started implements Running {
  readonly #parts: Running[] = [];

  add<Part extends Running>(part: Part): Part {
    this.#parts.push(part);
    return part;
  }

  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      await part.close().catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0)
      throw new AggregateError(failures, `shutting down: ${failures.map(String).join('; ')}`);
  }
}

/** Starts parts through `start`; if that fails, closes what was started and rethrows. */
export async function startAll<T>(
  start: (started: Started) => Promise<T>,
): Promise<{ value: T; started: Started }> {
  const started = new Started();
  try {
    return { value: await start(started), started };
  } catch (error) {
    await started.close().catch(() => undefined);
    throw error;
  }
}

/**
 * One Ctrl-C arrives several times: a terminal sends it to the whole process group, and npm passes it on once more. What
 * comes within this time of the first signal is the same key press.
 */
const sameSignalMs = 1_000;

/**
 * Runs a server command: starts its parts, announces them, and on SIGINT or SIGTERM closes them all. A signal during the
 * start closes what the start has made, unannounced. A second signal, sent later on, ends the process at once.
 */
export async function runUntilSignal<T>(
  start: (started: Started) => Promise<T>,
  announce: (value: T) => void,
): Promise<void> {
  // Before anything starts, and never taken away: without a listener a signal ends the process by its default action.
  let firstMs: number | undefined;
  const signalled = new Promise<void>((resolve) => {
    const onSignal = (): void => {
      firstMs ??= performance.now();
      if (performance.now() - firstMs > sameSignalMs) process.exit(130);
      resolve();
    };
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  });
  const { value, started } = await startAll(start);
  if (firstMs === undefined) announce(value);
  await signalled;
  await closeInTime(started);
}

async function closeInTime(running: Running): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new CliError(
            `still closing after ${closeTimeoutMs / 1000} s`,
            'Ended anyway; every acknowledged write is on disk.',
            exitCodes.environment,
          ),
        ),
      closeTimeoutMs,
    );
  });
  try {
    await Promise.race([running.close(), timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs work that has an end. SIGINT or SIGTERM aborts the signal it is given, so that it can take back what it has begun; a second one
 * ends the process at once.
 *
 * @throws what `work` throws when it is aborted: the reason, a CliError
 */
export async function runUntilDone<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let firstMs: number | undefined;
  const onSignal = (): void => {
    firstMs ??= performance.now();
    if (performance.now() - firstMs > sameSignalMs) process.exit(130);
    controller.abort(new CliError('interrupted', 'Nothing was left half done.', 130));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  try {
    return await work(controller.signal);
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, onSignal);
  }
}
