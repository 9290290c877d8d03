/**
 * Bytes at positions of a file that is not read whole. A small cache of blocks, the least recently used one dropped first: pages of a
 * tree that lie side by side cost one system call, and memory does not grow with the file.
 *
 * Reads are synchronous: a page is a few microseconds in the system's page cache, a trip through a thread is ten times that.
 */
import { type BigIntStats, closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { OpsError } from '../errors.js';

export interface PageFile {
  readonly sizeBytes: number;
  /**
   * Exactly `length` bytes. The Buffer stays as it is when more is read.
   *
   * @throws OpsError source-damaged when the file ends before, source-unreadable when reading fails
   */
  read(position: number, length: number): Buffer;
  /** True: somebody wrote to it, or cut it, since it was opened. */
  isChanged(): boolean;
  /** Drops what is cached: the next read sees the file as it is then. */
  forget(): void;
  close(): void;
}

const BLOCK_BYTES = 64 * 1024;
const BLOCKS = 32;

/** @throws OpsError source-unreadable */
export function openPageFile(path: string): PageFile {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    const stats = fstatSync(descriptor, { bigint: true });
    if (!stats.isFile()) {
      throw new OpsError('source-unreadable', `${path} is not a file; name the snapshot or database file.`);
    }
    return new CachedFile(path, descriptor, stats);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

class CachedFile implements PageFile {
  readonly sizeBytes: number;
  readonly #path: string;
  readonly #descriptor: number;
  readonly #opened: BigIntStats;
  /** In order of use: a Map iterates in order of insertion. */
  readonly #blocks = new Map<number, Buffer>();
  #open = true;

  constructor(path: string, descriptor: number, opened: BigIntStats) {
    this.#path = path;
    this.#descriptor = descriptor;
    this.#opened = opened;
    this.sizeBytes = Number(opened.size);
  }

  read(position: number, length: number): Buffer {
    if (position + length > this.sizeBytes) {
      throw new OpsError(
        'source-damaged',
        `it ends at byte ${this.sizeBytes}, inside something that lies at byte ${position}`,
      );
    }
    const offset = position % BLOCK_BYTES;
    if (offset + length > BLOCK_BYTES) return this.#readFile(position, length);
    return this.#block((position - offset) / BLOCK_BYTES).subarray(offset, offset + length);
  }

  close(): void {
    if (this.#open) closeSync(this.#descriptor);
    this.#open = false;
    this.forget();
  }

  isChanged(): boolean {
    const { size, mtimeNs } = fstatSync(this.#descriptor, { bigint: true });
    return size !== this.#opened.size || mtimeNs !== this.#opened.mtimeNs;
  }

  forget(): void {
    this.#blocks.clear();
  }

  #block(number: number): Buffer {
    const cached = this.#blocks.get(number);
    if (cached !== undefined) {
      this.#blocks.delete(number);
      this.#blocks.set(number, cached);
      return cached;
    }
    const position = number * BLOCK_BYTES;
    const block = this.#readFile(position, Math.min(BLOCK_BYTES, this.sizeBytes - position));
    if (this.#blocks.size >= BLOCKS) {
      const [oldest = 0] = this.#blocks.keys();
      this.#blocks.delete(oldest);
    }
    this.#blocks.set(number, block);
    return block;
  }

  #readFile(position: number, length: number): Buffer {
    if (!this.#open) throw new OpsError('source-unreadable', `${this.#path} was closed while it was read.`);
    const bytes = Buffer.allocUnsafeSlow(length);
    let done = 0;
    try {
      while (done < length) {
        const read = readSync(this.#descriptor, bytes, done, length - done, position + done);
        if (read === 0) throw new OpsError('source-damaged', `it became shorter while it was read`);
        done += read;
      }
    } catch (error) {
      throw error instanceof OpsError ? error : unreadable(this.#path, error);
    }
    return bytes;
  }
}

function unreadable(path: string, error: unknown): OpsError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const advice =
    code === 'ENOENT'
      ? 'does not exist; check the path.'
      : code === 'EACCES' || code === 'EPERM'
        ? 'may not be read by this user; run as the user who owns it.'
        : `cannot be read: ${error instanceof Error ? error.message : String(error)}.`;
  return new OpsError('source-unreadable', `${path} ${advice}`, error);
}
