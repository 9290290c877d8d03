/**
 * Disk space kept back for the audit journal.
 *
 * Nothing is answered that is not recorded, so a full disk would stop every call. The reserve is given back to the journal
 * then: changes are refused, and calls that change nothing are recorded, and answered, for as long as it lasts.
 */
import { closeSync, fsyncSync, openSync, statSync, unlinkSync, writeSync } from 'node:fs';

const BLOCK = Buffer.alloc(256 * 1024);

export class DiskReserve {
  readonly #path: string;
  readonly #bytes: number;
  #held = false;

  /** @param bytes about 1 KiB is one record */
  constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
  }

  get held(): boolean {
    return this.#held;
  }

  /** False when the disk does not have it. */
  take(): boolean {
    if (this.#held) return true;
    // Left by an earlier process.
    this.#held = statSync(this.#path, { throwIfNoEntry: false })?.size === this.#bytes;
    if (this.#held) return true;
    try {
      const fd = openSync(this.#path, 'w', 0o600);
      try {
        for (let written = 0; written < this.#bytes;) {
          written += writeSync(fd, BLOCK, 0, Math.min(BLOCK.length, this.#bytes - written));
        }
        // Space that is only promised by the cache is none.
        if (this.#bytes > 0) fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      this.#held = true;
    } catch {
      this.#remove();
    }
    return this.#held;
  }

  giveBack(): void {
    this.#held = false;
    this.#remove();
  }

  #remove(): void {
    try {
      unlinkSync(this.#path);
    } catch {
      // Not there, or not ours to remove: then there is nothing to gain.
    }
  }
}
