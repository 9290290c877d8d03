/**
 * What becomes of closed journal segments: delivery in order, signed heads, and retention.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { deliverSegment } from './delivery.js';
import { writeDurably } from './durable-file.js';
import { type AuditHeads, writeHeads } from './heads.js';
import type { HeadsMemory } from './heads-memory.js';
import { dayOfPath, filesUnder } from './log-files.js';
import { segmentPath } from './segment.js';
import type { AuditSigner } from './signing-key.js';

const DAY_MS = 86_400_000;

export interface AuditArchiveOptions {
  readonly folder: string;
  readonly now: () => number;
  readonly logger: Logger;
  /** Asked for when there is something to sign. */
  readonly signer: () => Promise<AuditSigner>;
  /** Log files and digests of days longer ago are removed; absent: kept for ever. */
  readonly retentionDays?: number | undefined;
  /** Told the heads after they were written; default: nobody is. */
  readonly memory?: HeadsMemory;
}

function publicKeyPath(folder: string, fingerprint: string): string {
  return join(folder, 'digest-keys', `${fingerprint}.pem`);
}

export class AuditArchive {
  readonly #options: AuditArchiveOptions;
  #heads: AuditHeads;
  #signer: AuditSigner | undefined;
  readonly #waiting: number[] = [];
  #delivering: Promise<void> = Promise.resolve();

  constructor(options: AuditArchiveOptions, heads: AuditHeads) {
    this.#options = options;
    this.#heads = heads;
  }

  /** Says on disk that there is an open segment again. */
  async reopen(): Promise<void> {
    if (this.#heads.closed) await this.#write({ ...this.#heads, closed: false });
  }

  /** Delivers segment `number` after those before it. One that fails is tried again with the next, in order. */
  deliver(number: number): Promise<void> {
    this.#waiting.push(number);
    return this.retry();
  }

  /** Tries again what could not be delivered. Never rejects. */
  retry(): Promise<void> {
    this.#delivering = this.#delivering.then(() => this.#deliverAll());
    return this.#delivering;
  }

  /** Delivers a closed segment and says so; throws when that fails. */
  async deliverNow(number: number): Promise<void> {
    const { folder } = this.#options;
    const path = segmentPath(folder, number);
    const trails = await deliverSegment(folder, path, this.#heads.trails, await this.#openSigner());
    const nextSegment = Math.max(this.#heads.nextSegment, number + 1);
    const retainedFrom = this.#retainFrom();
    await this.#write({ ...this.#heads, ...retainedFrom, closed: false, nextSegment, trails });
    await rm(path);
    if (retainedFrom !== undefined) await this.#removeBefore(retainedFrom.retainedFrom);
  }

  /** After the last delivery. */
  async close(): Promise<void> {
    await this.#delivering;
    const signed = [...this.#heads.trails.values()].some(({ digest }) => digest !== undefined);
    if (signed && this.#waiting.length === 0) await this.#write({ ...this.#heads, closed: true });
  }

  async #deliverAll(): Promise<void> {
    for (let number = this.#waiting[0]; number !== undefined; number = this.#waiting[0]) {
      try {
        await this.deliverNow(number);
      } catch (error) {
        this.#options.logger.error(
          { err: error },
          'audit records stay in the journal: they cannot be delivered yet',
        );
        return;
      }
      this.#waiting.shift();
    }
  }

  async #openSigner(): Promise<AuditSigner> {
    if (this.#signer === undefined) {
      const signer = await this.#options.signer();
      await writeDurably(publicKeyPath(this.#options.folder, signer.fingerprint), signer.publicKeyPem);
      this.#signer = signer;
    }
    return this.#signer;
  }

  async #write(heads: AuditHeads): Promise<void> {
    await writeHeads(this.#options.folder, heads, await this.#openSigner());
    this.#heads = heads;
    // What is delivered is delivered: the next heads are remembered again.
    await this.#options.memory?.remember(heads).catch((error: unknown) => {
      this.#options.logger.warn({ err: error }, 'where the audit log stands could not be kept in the store');
    });
  }

  /** A new first day, when one has come of age. */
  #retainFrom(): { readonly retainedFrom: string } | undefined {
    const { retentionDays, now } = this.#options;
    if (retentionDays === undefined) return undefined;
    const retainedFrom = new Date(now() - retentionDays * DAY_MS).toISOString().slice(0, 10);
    return retainedFrom > (this.#heads.retainedFrom ?? '') ? { retainedFrom } : undefined;
  }

  /** The heads say first what may be missing: a crash in between leaves files, not a gap. */
  async #removeBefore(day: string): Promise<void> {
    const { folder, logger } = this.#options;
    try {
      for (const path of await filesUnder(folder, 'AWSLogs')) {
        const fileDay = dayOfPath(path);
        if (fileDay !== undefined && fileDay < day) await rm(join(folder, path));
      }
    } catch (error) {
      logger.error({ err: error }, 'audit files past their retention could not be removed');
    }
  }
}
