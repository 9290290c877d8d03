/**
 * Group commit: writers queue, and whoever waits when the disk is free goes into the next LMDB transaction together.
 * One sync serves them all. Nobody is answered, and no watch told, before the sync is done.
 *
 * Jobs run on the main thread, on a snapshot; the changes they make are handed to the package's writer thread, which
 * updates the pages and syncs them while the main thread serves others.
 */
import type { StoreError } from '../store.js';
import { Commit, type CommitStart, type RevisionChanges } from './commit.js';
import type { Environment } from './environment.js';
import { closedError, toStoreError } from './errors.js';

/** One LMDB transaction takes at most this much, so that no writer waits for an endless one. */
const MAX_COMMIT_JOBS = 1024;
const MAX_COMMIT_BYTES = 8 * 1024 * 1024;

interface Job {
  readonly bytes: number;
  readonly run: (commit: Commit) => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

interface Outcome {
  readonly job: Job;
  readonly value?: unknown;
  readonly error?: StoreError;
}

export interface CommitListener {
  /** What the next commit builds on. */
  start(): CommitStart;
  /** The commit is on disk and the snapshot shows it; nobody has been answered yet. */
  committed(revision: number, revisions: readonly RevisionChanges[]): void;
  /** The commit failed and left nothing behind. */
  failed(): void;
}

export class CommitQueue {
  readonly #environment: Environment;
  readonly #listener: CommitListener;
  readonly #path: string;
  #jobs: Job[] = [];
  #state: 'idle' | 'armed' | 'committing' = 'idle';
  /** Set once the disk cannot be trusted any more; every later write gets it. */
  #broken: StoreError | undefined;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(environment: Environment, path: string, listener: CommitListener) {
    this.#environment = environment;
    this.#path = path;
    this.#listener = listener;
    environment.onBeforeCommit(() => this.#onBeforeCommit());
  }

  /**
   * Runs `job` in the next commit and resolves with what it returned once that is on disk. `bytes`: what it will write,
   * roughly. A job that throws must not have changed anything.
   */
  submit<T>(bytes: number, job: (commit: Commit) => T): Promise<T> {
    if (this.#closed) return Promise.reject(closedError());
    if (this.#broken) return Promise.reject(this.#broken);
    return new Promise<T>((resolve, reject) => {
      this.#jobs.push({ bytes, run: job, resolve, reject });
      this.#arm();
    });
  }

  /** Refuses new jobs and waits for those queued. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#state !== 'idle') await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #arm(): void {
    if (this.#state !== 'idle') return;
    if (this.#jobs.length === 0) {
      const idle = this.#idle;
      this.#idle = [];
      for (const resolve of idle) resolve();
      return;
    }
    this.#state = 'armed';
    // The jobs' own writes carry the result; this promise is the same transaction's.
    this.#environment.arm().catch(() => {});
  }

  /** `lmdb` swallows what this throws, so it does not. */
  #onBeforeCommit(): void {
    if (this.#state !== 'armed') return;
    this.#state = 'committing';
    const jobs = this.#take();
    const commit = new Commit(this.#listener.start());
    const outcomes = jobs.map((job) => this.#run(job, commit));
    let written: Promise<boolean> | undefined;
    try {
      written = commit.flush();
    } catch (error) {
      // Keys and values were checked, so LMDB has no reason to refuse; half of a commit may be queued now.
      this.#broken = toStoreError(error, this.#path);
      written = Promise.reject(error);
    }
    void this.#finish(written, commit, outcomes);
  }

  #run(job: Job, commit: Commit): Outcome {
    try {
      return { job, value: job.run(commit) };
    } catch (error) {
      return { job, error: toStoreError(error, this.#path) };
    }
  }

  async #finish(
    written: Promise<boolean> | undefined,
    commit: Commit,
    outcomes: readonly Outcome[],
  ): Promise<void> {
    try {
      if (written) {
        await written;
        this.#environment.advance();
        this.#listener.committed(commit.revision, commit.revisions);
      }
      for (const outcome of outcomes) settle(outcome);
    } catch (failure) {
      const error = toStoreError(await causeOf(failure), this.#path);
      if (error.code !== 'no-space') this.#broken ??= error;
      this.#listener.failed();
      for (const { job, error: refused } of outcomes) job.reject(refused ?? error);
      this.#rejectIfBroken();
    } finally {
      this.#state = 'idle';
      this.#arm();
    }
  }

  #rejectIfBroken(): void {
    if (!this.#broken) return;
    const jobs = this.#jobs;
    this.#jobs = [];
    for (const job of jobs) job.reject(this.#broken);
  }

  #take(): Job[] {
    let bytes = 0;
    let count = 0;
    for (const job of this.#jobs) {
      bytes += job.bytes;
      if (count > 0 && (count >= MAX_COMMIT_JOBS || bytes > MAX_COMMIT_BYTES)) break;
      count++;
    }
    return this.#jobs.splice(0, count);
  }
}

function settle({ job, value, error }: Outcome): void {
  if (error) job.reject(error);
  else job.resolve(value as never);
}

/** The package rejects with "Commit failed" and tells the reason in a promise of its own. */
async function causeOf(failure: unknown): Promise<unknown> {
  if (!(failure instanceof Error) || !('commitError' in failure)) return failure;
  try {
    await failure.commitError;
    return failure;
  } catch (reason) {
    return reason;
  }
}
