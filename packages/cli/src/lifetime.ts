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

/** Resolves after SIGINT or SIGTERM and a clean close. A second signal ends the process at once. */
export async function runUntilSignal(running: Running): Promise<void> {
  const signals = ['SIGINT', 'SIGTERM'] as const;
  await new Promise<void>((resolve) => {
    for (const signal of signals) process.once(signal, () => resolve());
  });
  for (const signal of signals) process.once(signal, () => process.exit(130));
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
