/**
 * The audit journal: every record is on disk before its call is answered.
 *
 * Records of all accounts go to one file, one line each, so that concurrent calls share one fdatasync (group commit).
 * Every five minutes the file is closed and delivered into CloudTrail's layout (archive.ts). Each record carries its
 * number in its trail (account and region) and the SHA-256 of the record before it, so that a removed, changed or
 * reordered record breaks the chain. docs/formats/key-service-audit.md.
 */
import { closeSync, fdatasync, ftruncateSync, mkdirSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { KeyServiceError } from '../errors.js';
import { AuditArchive } from './archive.js';
import { type ChainHead, type ChainHeads, GENESIS, sha256Hex, trailName } from './chain.js';
import { type AuditHeads, NO_HEADS, readHeads } from './heads.js';
import type { HeadsMemory } from './heads-memory.js';
import { DiskReserve } from './reserve.js';
import { journalFolder, openSegment, recoverSegment, type Segment, segmentNumbers } from './segment.js';
import type { AuditSigner } from './signing-key.js';

/** CloudTrail delivers about every five minutes. */
const SEGMENT_AGE_MS = 5 * 60_000;
const SEGMENT_BYTES = 16 * 1024 * 1024;

/** About 3,000 records of calls that change nothing, while a full disk is being seen to. */
const RESERVE_BYTES = 4 * 1024 * 1024;
const RESERVE_RETRY_MS = 5_000;

/** Writes some bytes of `bytes` from `offset` on and says how many. */
export type WriteBytes = (fd: number, bytes: Buffer, offset: number) => number;

export interface AuditJournalOptions {
  /** Made with mode 0700 when absent. */
  readonly folder: string;
  readonly now: () => number;
  readonly logger: Logger;
  /** Asked for when the first delivery is to be signed. */
  readonly signer: () => Promise<AuditSigner>;
  /** Delivered files of days longer ago are removed; absent: kept for ever. */
  readonly retentionDays?: number | undefined;
  /** Where the log stood, kept elsewhere; default: what the folder says is believed. */
  readonly memory?: HeadsMemory;
  /** Default: the file system's. */
  readonly write?: WriteBytes;
}

/**
 * `open`: everything is recorded. `full`: the disk is full and the reserve is in use, only calls that change nothing should go
 * on. `failing`: the last records could not be written.
 */
export type AuditState = 'open' | 'full' | 'failing';

interface Pending {
  readonly line: string;
  readonly trail: string;
  readonly head: ChainHead;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class AuditJournal {
  readonly #folder: string;
  readonly #now: () => number;
  readonly #logger: Logger;
  readonly #write: WriteBytes;
  readonly #archive: AuditArchive;
  readonly #reserve: DiskReserve;
  /** As of the last line handed out, and as of the last line on disk. */
  readonly #heads: ChainHeads;
  readonly #durableHeads: ChainHeads;
  #segment: Segment;
  #pending: Pending[] = [];
  #flush: Promise<void> | undefined;
  #state: AuditState = 'open';
  #lastReserveTryMs = 0;
  readonly #timer: NodeJS.Timeout;
  #closed = false;

  private constructor(
    options: AuditJournalOptions,
    archive: AuditArchive,
    heads: ChainHeads,
    segmentNumber: number,
  ) {
    this.#folder = options.folder;
    this.#now = options.now;
    this.#logger = options.logger;
    this.#write = options.write ?? writeSync;
    this.#archive = archive;
    this.#heads = new Map(heads);
    this.#durableHeads = heads;
    this.#segment = openSegment(this.#folder, segmentNumber, this.#now());
    this.#reserve = new DiskReserve(join(journalFolder(this.#folder), 'reserve'), RESERVE_BYTES);
    if (!this.#reserve.take()) this.#state = 'full';
    this.#timer = setInterval(() => this.roll(), SEGMENT_AGE_MS);
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
        { cause: error },
      );
    }
    const stored = await currentHeads(options);
    const heads: ChainHeads = new Map();
    for (const [trail, { sequence, sha256 }] of stored.trails) heads.set(trail, { sequence, sha256 });
    const archive = new AuditArchive(options, stored);
    await archive.reopen();
    let next = stored.nextSegment;
    for (const number of segmentNumbers(folder)) {
      recoverSegment(folder, number, heads);
      next = Math.max(next, number + 1);
      await archive.deliverNow(number);
    }
    return new AuditJournal(options, archive, heads, next);
  }

  get state(): AuditState {
    return this.#state;
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
    const chain = JSON.stringify({ sequence, previousSha256: before?.sha256 ?? GENESIS });
    // The record's own text with one more member: copying the record first would cost more than writing it.
    const line = `${JSON.stringify(record).slice(0, -1)},"waxsealChain":${chain}}`;
    const head: ChainHead = { sequence, sha256: sha256Hex(line) };
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
    closeSync(this.#segment.fd);
    if (this.#segment.durableBytes === 0) await rm(this.#segment.path, { force: true });
    else await this.#archive.deliver(this.#segment.number);
    await this.#archive.close().catch((error: unknown) => {
      this.#logger.error({ err: error }, 'the audit log is not closed; the next start does it');
    });
  }

  /** Tries to get out of the state of a full disk. Cheap when there is nothing to do. */
  recover(): AuditState {
    if (this.#state === 'open' || this.#closed) return this.#state;
    const nowMs = this.#now();
    if (nowMs - this.#lastReserveTryMs >= RESERVE_RETRY_MS) {
      this.#lastReserveTryMs = nowMs;
      if (this.#reserve.take()) {
        this.#state = 'open';
        this.#logger.warn('the audit disk has space again: changes are accepted');
        void this.#archive.retry();
      }
    }
    return this.#state;
  }

  private async flushSoon(): Promise<void> {
    do {
      // One turn of the event loop: calls that arrived together share one fdatasync, those that came during the last one too.
      await new Promise(setImmediate);
      await this.flushOnce();
    } while (this.#pending.length > 0);
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
      await this.writeDurably(segment, bytes);
    } catch (error) {
      if (!isDiskFull(error) || !this.#reserve.held || !(await this.writeIntoReserve(segment, bytes))) {
        this.giveUp([...batch, ...this.#pending], error);
        return;
      }
    }
    if (this.#state === 'failing') this.#state = this.#reserve.held ? 'open' : 'full';
    segment.durableBytes += bytes.length;
    for (const { trail, head } of batch) this.#durableHeads.set(trail, head);
    for (const { resolve } of batch) resolve();
    if (segment.durableBytes >= SEGMENT_BYTES || this.#now() - segment.openedAtMs >= SEGMENT_AGE_MS)
      this.replaceSegment();
  }

  private async writeDurably(segment: Segment, bytes: Buffer): Promise<void> {
    for (let written = 0; written < bytes.length;) written += this.#write(segment.fd, bytes, written);
    await new Promise<void>((resolve, reject) => {
      fdatasync(segment.fd, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  private async writeIntoReserve(segment: Segment, bytes: Buffer): Promise<boolean> {
    this.#logger.error('the audit disk is full: changes are refused until there is space again');
    this.#state = 'full';
    this.#lastReserveTryMs = this.#now();
    try {
      ftruncateSync(segment.fd, segment.durableBytes);
      this.#reserve.giveBack();
      await this.writeDurably(segment, bytes);
      return true;
    } catch {
      return false;
    }
  }

  /** No call is answered whose record is not on disk; the chain goes on from what is. */
  private giveUp(lost: readonly Pending[], error: unknown): void {
    this.#logger.error({ err: error }, 'audit records cannot be written: calls are refused until they can');
    this.#state = 'failing';
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

  private roll(): void {
    if (this.#closed) return;
    if (this.#segment.durableBytes > 0 && this.#flush === undefined) this.replaceSegment();
    else void this.#archive.retry();
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
    void this.#archive.deliver(full.number);
  }
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}

/**
 * Those of the folder, or those remembered when the folder knows less: then the chain goes on behind what is gone, and verifying
 * the log names it.
 */
async function currentHeads({ folder, memory, logger }: AuditJournalOptions): Promise<AuditHeads> {
  const stored = readHeads(folder)?.heads ?? NO_HEADS;
  const remembered = await memory?.recall();
  if (remembered === undefined || remembered.nextSegment <= stored.nextSegment) return stored;
  logger.error(
    { folder },
    'audit records that were delivered are gone from the audit folder: put them back; until then `waxseal audit verify` names what is missing',
  );
  return remembered;
}
