/**
 * A known secret, searched byte for byte: in the clear, and as base64, which is how Secrets hold it in JSON. This finds also what has lost
 * its beginning, and with it its key.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { openPageFile } from '../bbolt/page-file.js';
import { OpsError } from '../errors.js';
import { listBackups } from '../retire/backup-file.js';
import { filesIn } from './member-log.js';

export interface MarkerFind {
  readonly source: string;
  readonly encoding: 'raw' | 'base64';
  readonly count: number;
  /** Where in the file, in bytes: the first few. */
  readonly positions: readonly number[];
}

/** Shorter ones occur by chance. */
const MARKER_BYTES_MIN = 8;
const MARKER_BYTES_MAX = 64 * 1024;
const WINDOW_BYTES = 4 * 1024 * 1024;
const POSITIONS_MAX = 3;

interface Pattern {
  readonly encoding: MarkerFind['encoding'];
  readonly bytes: Buffer;
}

/** Bytes that are searched, and how they may be written. */
export interface Marker {
  readonly patterns: readonly Pattern[];
}

/** @throws OpsError invalid-option for one that is too short or too long to search */
export function parseMarker(marker: Buffer): Marker {
  if (marker.length < MARKER_BYTES_MIN || marker.length > MARKER_BYTES_MAX) {
    throw new OpsError(
      'invalid-option',
      `the marker has ${marker.length} bytes; ${MARKER_BYTES_MIN} to ${MARKER_BYTES_MAX} can be searched.`,
    );
  }
  const base64 = base64Forms(marker).map((bytes) => ({ encoding: 'base64', bytes }) as const);
  return { patterns: [{ encoding: 'raw', bytes: marker }, ...base64] };
}

/** @throws OpsError source-unreadable */
export async function findMarker(
  paths: readonly string[],
  { patterns }: Marker,
  signal?: AbortSignal,
): Promise<readonly MarkerFind[]> {
  const finds: MarkerFind[] = [];
  for (const path of paths) {
    const hits = await positionsIn(path, patterns, signal);
    for (const encoding of ['raw', 'base64'] as const) {
      const positions = [...(hits.get(encoding) ?? [])];
      if (positions.length === 0) continue;
      positions.sort((a, b) => a - b);
      finds.push({
        source: path,
        encoding,
        count: positions.length,
        positions: positions.slice(0, POSITIONS_MAX),
      });
    }
  }
  return finds;
}

/** Three, as base64 looks at three bytes at a time; without the characters that depend on what stands beside. */
function base64Forms(marker: Buffer): readonly Buffer[] {
  return [0, 1, 2].map((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), marker])
      .toString('base64')
      .replace(/=+$/, '');
    const first = Math.ceil((offset * 8) / 6);
    const last = Math.floor(((offset + marker.length) * 8) / 6);
    return Buffer.from(text.slice(first, last), 'latin1');
  });
}

async function positionsIn(
  path: string,
  patterns: readonly Pattern[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<MarkerFind['encoding'], ReadonlySet<number>>> {
  const found = new Map<MarkerFind['encoding'], Set<number>>([
    ['raw', new Set()],
    ['base64', new Set()],
  ]);
  const overlap = Math.max(...patterns.map(({ bytes }) => bytes.length)) - 1;
  const file = openPageFile(path);
  try {
    for (let from = 0; from < file.sizeBytes; from += WINDOW_BYTES) {
      const bytes = file.read(from, Math.min(WINDOW_BYTES + overlap, file.sizeBytes - from));
      for (const pattern of patterns) {
        for (let at = bytes.indexOf(pattern.bytes); at !== -1; at = bytes.indexOf(pattern.bytes, at + 1)) {
          found.get(pattern.encoding)?.add(from + at);
        }
      }
      signal?.throwIfAborted();
      await setImmediate();
    }
  } finally {
    file.close();
  }
  return found;
}

/**
 * The files of a member of etcd.
 *
 * @throws OpsError source-unreadable
 */
export async function memberFiles(directory: string): Promise<readonly string[]> {
  const folders = ['snap', 'wal'].map((name) => join(directory, 'member', name));
  const files = await Promise.all(
    folders.map(async (folder) => (await filesIn(folder)).map((name) => join(folder, name))),
  );
  return files.flat().filter(isFile);
}

/** The files of a folder of backups, snapshots or not. */
export async function backupFiles(directory: string): Promise<readonly string[]> {
  return (await listBackups(directory)).map((name) => join(directory, name)).filter(isFile);
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
