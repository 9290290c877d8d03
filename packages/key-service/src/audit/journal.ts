/**
 * The audit journal: every record is on disk before its call is answered.
 *
 * Records of all accounts go to one file, one line each, so that concurrent calls share one fdatasync (group commit).
 * Every five minutes the file is closed and delivered into CloudTrail's layout (delivery.ts). Each record carries its
 * number in its trail (account and region) and the SHA-256 of the record before it, so that a removed, changed or
 * reordered record breaks the chain. docs/formats/key-service-audit.md.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  ftruncateSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { KeyServiceError } from '../errors.js';
import { deliverSegment } from './delivery.js';
import { type ChainHead, type ChainHeads, parseLine, readHeads, trailName, writeHeads } from './chain.js';

/** CloudTrail delivers about every five minutes. */
const SEGMENT_AGE_MS = 5 * 60_000;
const SEGMENT_BYTES = 16 * 1024 * 1024;

export interface AuditJournalOptions {
  /** Made with mode 0700 when absent. */
  readonly folder: string;
  readonly now: () => number;
  readonly logger: Logger;
}

interface Pending {
  readonly line: string;
  readonly trail: string;
  readonly head: ChainHead;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Segment {
  readonly number: number;
  readonly path: string;
  readonly fd: number;
  readonly openedAtMs: number;
  /** Bytes known to be on disk. */
  durableBytes: number;
}

export class AuditJournal {
  readonly #folder: string;
  readonly #now: () => number;
  readonly #logger: Logger;
  /** As of the last line handed out, and as of the last line on disk. */
  readonly #heads: ChainHeads;
  readonly #durableHeads: ChainHeads;
  #segment: Segment;
  #pending: Pending[] = [];
  #flush: Promise<void> | undefined;
  #deliveries: Promise<void> = Promise.resolve();
  readonly #timer: NodeJS.Timeout;
  #closed = false;

  private constructor(options: AuditJournalOptions, heads: ChainHeads, segmentNumber: number) {
    this.#folder = options.folder;
    this.#now = options.now;
    this.#logger = options.logger;
    this.#heads = new Map(heads);
    this.#durableHeads = heads;
    this.#segment = openSegment(this.#folder, segmentNumber, this.#now());
    this.#timer = setInterval(() => void this.roll(), SEGMENT_AGE_MS);
    this.#timer.unref();
  }

  /**
   * Opens the journal and delivers what an earlier process left.
   *
   * @throws KeyServiceError audit-corrupt, audit-unwritable
   */
  static async open(options: AuditJournalOptions): Promise<AuditJournal> {
    const { folder } = options;
    try {
      mkdirSync(journalFolder(folder), { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new KeyServiceError(
        'audit-unwritable',
        `The audit folder ${folder} cannot be made. Check its path and owner.`,
        {
          cause: error,
        },
      );
    }
    const { heads, nextSegment } = readHeads(folder);
    const left = readdirSync(journalFolder(folder))
      .map((name) => /^(\d{12})\.jsonl$/.exec(name)?.[1])
      .filter((digits) => digits !== undefined)
      .map(Number)
      .toSorted((a, b) => a - b);
    let next = nextSegment;
    for (const number of left) {
      recoverSegment(folder, number, heads);
      next = Math.max(next, number + 1);
      await deliverSegment(folder, segmentPath(folder, number), () => writeHeads(folder, heads, next));
    }
    return new AuditJournal(options, heads, next);
  }

  /**
   * Resolves when the record is on disk.
   *
   * @param record members of the record; the chain is added here
   * @throws KeyServiceError closed; the file system's error when the disk does not take it
   */
  append(accountId: string, region: string, record: Readonly<Record<string, unknown>>): Promise<void> {
    if (this.#closed) return Promise.reject(new KeyServiceError('closed', 'The audit journal is closed.'));
    const trail = trailName(accountId, region);
    const before = this.#heads.get(trail);
    const sequence = (before?.sequence ?? 0) + 1;
    const line = JSON.stringify({
      ...record,
      waxsealChain: { sequence, previousSha256: before?.sha256 ?? GENESIS },
    });
    const head: ChainHead = { sequence, sha256: createHash('sha256').update(line).digest('hex') };
    this.#heads.set(trail, head);
    const done = new Promise<void>((resolve, reject) => {
      this.#pending.push({ line, trail, head, resolve, reject });
    });
    this.#flush ??= this.flushSoon();
    return done;
  }

  /** Writes what waits, delivers the open segment, and ends. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#flush;
    await this.#deliveries;
    closeSync(this.#segment.fd);
    await this.deliver(this.#segment, this.#segment.number + 1);
  }

  private async flushSoon(): Promise<void> {
    // One turn of the event loop: calls that arrived together share the first fdatasync too.
    await new Promise(setImmediate);
    while (this.#pending.length > 0) await this.flushOnce();
    this.#flush = undefined;
  }

  private async flushOnce(): Promise<void> {
    const batch = this.#pending;
    this.#pending = [];
    const segment = this.#segment;
    let text = '';
    for (const { line } of batch) text += `${line}\n`;
    const bytes = Buffer.from(text);
    try {
      writeWhole(segment.fd, bytes);
      await new Promise<void>((resolve, reject) => {
        fdatasync(segment.fd, (error) => (error === null ? resolve() : reject(error)));
      });
    } catch (error) {
      this.giveUp([...batch, ...this.#pending], error);
      return;
    }
    segment.durableBytes += bytes.length;
    for (const { trail, head } of batch) this.#durableHeads.set(trail, head);
    for (const { resolve } of batch) resolve();
    if (segment.durableBytes >= SEGMENT_BYTES || this.#now() - segment.openedAtMs >= SEGMENT_AGE_MS)
      this.replaceSegment();
  }

  /** No call is answered whose record is not on disk; the chain goes on from what is. */
  private giveUp(lost: readonly Pending[], error: unknown): void {
    this.#logger.error({ err: error }, 'audit records cannot be written: calls are refused until they can');
    this.#pending = [];
    this.#heads.clear();
    for (const [trail, head] of this.#durableHeads) this.#heads.set(trail, head);
    try {
      ftruncateSync(this.#segment.fd, this.#segment.durableBytes);
    } catch (truncateError) {
      // The next start drops a torn line anyway; whole lines without an answer do no harm but break the chain.
      this.#logger.error(
        { err: truncateError },
        'the audit journal cannot be cut back to its last good record',
      );
    }
    for (const { reject } of lost) reject(error);
  }

  private async roll(): Promise<void> {
    if (this.#segment.durableBytes === 0 || this.#closed || this.#flush !== undefined) return;
    this.replaceSegment();
  }

  private replaceSegment(): void {
    const full = this.#segment;
    try {
      this.#segment = openSegment(this.#folder, full.number + 1, this.#now());
    } catch (error) {
      this.#logger.error(
        { err: error },
        'a new audit journal file cannot be opened; the old one stays in use',
      );
      return;
    }
    closeSync(full.fd);
    this.#deliveries = this.#deliveries.then(() => this.deliver(full, full.number + 1));
  }

  private async deliver(segment: Segment, nextSegment: number): Promise<void> {
    const heads = new Map(this.#durableHeads);
    try {
      await deliverSegment(this.#folder, segment.path, () => writeHeads(this.#folder, heads, nextSegment));
    } catch (error) {
      this.#logger.error({ err: error }, 'audit records stay in the journal: they cannot be delivered yet');
    }
  }
}

/** What the first record of a trail names as the record before it. */
export const GENESIS = '0'.repeat(64);

function journalFolder(folder: string): string {
  return join(folder, 'journal');
}

function segmentPath(folder: string, number: number): string {
  return join(journalFolder(folder), `${number.toString().padStart(12, '0')}.jsonl`);
}

function openSegment(folder: string, number: number, nowMs: number): Segment {
  const path = segmentPath(folder, number);
  const fd = openSync(path, 'ax', 0o600);
  const folderFd = openSync(journalFolder(folder), 'r');
  try {
    fsyncSync(folderFd);
  } finally {
    closeSync(folderFd);
  }
  return { number, path, fd, openedAtMs: nowMs, durableBytes: 0 };
}

function writeWhole(fd: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length;) written += writeSync(fd, bytes, written);
}

/** Cuts off a line torn by a crash (its call was never answered) and brings the heads up to the last whole one. */
function recoverSegment(folder: string, number: number, heads: ChainHeads): void {
  const path = segmentPath(folder, number);
  const bytes = readFileSync(path);
  const wholeBytes = bytes.lastIndexOf(0x0a) + 1;
  if (wholeBytes < bytes.length) {
    const fd = openSync(path, 'r+');
    try {
      ftruncateSync(fd, wholeBytes);
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
  for (const text of bytes.toString('utf8', 0, wholeBytes).split('\n')) {
    if (text === '') continue;
    const line = parseLine(text);
    if (line === undefined) {
      throw new KeyServiceError(
        'audit-corrupt',
        `The audit journal ${path} holds a line that is no record. Someone changed it: move it away, keep it as evidence, and start again.`,
      );
    }
    const head = heads.get(line.trail);
    if (head === undefined || head.sequence < line.sequence) {
      heads.set(line.trail, {
        sequence: line.sequence,
        sha256: createHash('sha256').update(text).digest('hex'),
      });
    }
  }
}
