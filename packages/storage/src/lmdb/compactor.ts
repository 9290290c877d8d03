/**
 * Compaction: first the revision is written down, and from then on nothing before it can be read; then what only those
 * revisions needed is deleted, a piece per commit, so that writers never wait long. A piece that a crash cut off is
 * taken up again when the store is opened.
 *
 * The log says what to delete: a version goes when the change that replaced it is not later than the compacted
 * revision, a deletion's mark likewise, and a log entry when it is earlier.
 */
import { StoreError } from '../store.js';
import { writeRevision, readRevision } from './bytes.js';
import { logKey, parseLogEntry } from './change-log.js';
import type { Commit } from './commit.js';
import type { CommitQueue } from './commit-queue.js';
import type { Environment, Tables } from './environment.js';
import { historyKey } from './history-key.js';

/** Changes looked at in one commit: a few milliseconds. */
const PIECE_ENTRIES = 1000;
const BYTES_PER_ENTRY = 256;

const COMPACT_REVISION = Buffer.from('compact-revision');
/** How far the deleting has come; behind COMPACT_REVISION while it is under way. */
const COMPACTED_REVISION = Buffer.from('compacted-revision');

export class Compactor {
  readonly #queue: CommitQueue;
  #compactRevision: number;
  #compactedRevision: number;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(environment: Environment, queue: CommitQueue) {
    this.#queue = queue;
    const { meta } = environment.tables;
    this.#compactRevision = number(meta.get(environment.snapshot, COMPACT_REVISION));
    this.#compactedRevision = number(meta.get(environment.snapshot, COMPACTED_REVISION));
  }

  /** First revision that can be read; 0 before the first compaction. */
  get compactRevision(): number {
    return this.#compactRevision;
  }

  /** Takes up what a crash interrupted. */
  resume(): void {
    this.#deleteAll().catch(() => {});
  }

  async compact(revision: number, presentRevision: number): Promise<void> {
    if (!Number.isSafeInteger(revision) || revision < 1) {
      throw new StoreError('invalid-argument', 'a revision to compact is a positive number');
    }
    if (revision > presentRevision) {
      throw new StoreError(
        'future-revision',
        `revision ${revision} is in the future, the store is at ${presentRevision}`,
      );
    }
    if (revision <= this.#compactRevision) throw alreadyCompacted(revision, this.#compactRevision);
    await this.#queue.submit(0, (commit) => {
      // Another compaction may have been before this one in the queue.
      if (revision <= this.#compactRevision) throw alreadyCompacted(revision, this.#compactRevision);
      commit.write(() => commit.tables.meta.put(COMPACT_REVISION, revisionBytes(revision)));
    });
    this.#compactRevision = Math.max(this.#compactRevision, revision);
    await this.#deleteAll();
  }

  /** Stops after the piece under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running?.catch(() => {});
  }

  #deleteAll(): Promise<void> {
    this.#running ??= this.#deletePieces().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #deletePieces(): Promise<void> {
    while (this.#compactedRevision < this.#compactRevision && !this.#closed) {
      const target = this.#compactRevision;
      const from = this.#compactedRevision;
      let place = logKey(from, 0);
      for (let done = false; !done && !this.#closed;) {
        const start = place;
        const piece = await this.#queue.submit(PIECE_ENTRIES * BYTES_PER_ENTRY, (commit) =>
          deletePiece(commit, start, target),
        );
        ({ done, next: place } = piece);
      }
      if (!this.#closed) this.#compactedRevision = target;
    }
  }
}

/** Deletes what the log entries from `start` name, up to `target`. Doing it twice does no harm. */
function deletePiece(commit: Commit, start: Buffer, target: number): { done: boolean; next: Buffer } {
  const { tables, snapshot } = commit;
  const end = logKey(target + 1, 0);
  let count = 0;
  let next = start;
  for (const { key: at, value } of tables.log.entries(snapshot, { start, end, limit: PIECE_ENTRIES })) {
    const entry = parseLogEntry(at, value);
    count++;
    next = logKey(entry.revision, entry.position + 1);
    commit.write(() => deleteEntry(tables, at, entry, target));
  }
  const done = count < PIECE_ENTRIES;
  if (done) commit.write(() => tables.meta.put(COMPACTED_REVISION, revisionBytes(target)));
  return { done, next };
}

function deleteEntry(
  { history, log }: Tables,
  at: Buffer,
  { revision, key, type, replaced }: ReturnType<typeof parseLogEntry>,
  target: number,
): Promise<boolean> {
  let promise = Promise.resolve(true);
  if (replaced > 0) promise = history.remove(historyKey(key, replaced));
  if (type === 'delete') promise = history.remove(historyKey(key, revision));
  // The entry of the compacted revision itself stays: a watch may start there.
  if (revision < target) promise = log.remove(at);
  return promise;
}

function alreadyCompacted(revision: number, compactRevision: number): StoreError {
  return new StoreError(
    'compacted',
    `revision ${revision} is compacted already, the oldest that can be read is ${compactRevision}`,
  );
}

function revisionBytes(revision: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  writeRevision(bytes, revision, 0);
  return bytes;
}

function number(bytes: Buffer | undefined): number {
  return bytes?.length === 8 ? readRevision(bytes, 0) : 0;
}
