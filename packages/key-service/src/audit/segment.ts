/** Journal segments: `journal/<12 digits>.jsonl`, one record a line. */
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { KeyServiceError } from '../errors.js';
import { type ChainHeads, parseLine, sha256Hex } from './chain.js';

export interface Segment {
  readonly number: number;
  readonly path: string;
  readonly fd: number;
  readonly openedAtMs: number;
  /** Bytes known to be on disk. */
  durableBytes: number;
}

export function journalFolder(folder: string): string {
  return join(folder, 'journal');
}

export function segmentPath(folder: string, number: number): string {
  return join(journalFolder(folder), `${number.toString().padStart(12, '0')}.jsonl`);
}

/** Numbers of the segments that are there, ascending. */
export function segmentNumbers(folder: string): number[] {
  let names: string[];
  try {
    names = readdirSync(journalFolder(folder));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
  return names
    .map((name) => /^(\d{12})\.jsonl$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .toSorted((a, b) => a - b);
}

export function openSegment(folder: string, number: number, nowMs: number): Segment {
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

/**
 * Cuts off a line torn by a crash (its call was never answered) and brings the heads up to the last whole one.
 *
 * @throws KeyServiceError audit-corrupt
 */
export function recoverSegment(folder: string, number: number, heads: ChainHeads): void {
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
      heads.set(line.trail, { sequence: line.sequence, sha256: sha256Hex(text) });
    }
  }
}
