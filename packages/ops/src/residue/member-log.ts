/** What lies in a member's folder besides its database: the write-ahead log and raft's snapshots. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { openPageFile, type PageFile } from '../bbolt/page-file.js';
import { OpsError } from '../errors.js';
import { findFragments } from './fragments.js';
import type { Leftovers, ResiduePlace } from './leftovers.js';
import { loggedPuts } from './raft-puts.js';
import { readWalSegment } from './wal-segment.js';

export interface MemberLogSearch {
  /** `member` in etcd's data directory. */
  readonly folder: string;
  readonly prefix: Buffer;
  readonly leftovers: Leftovers;
  readonly remedy: (place: ResiduePlace) => string;
  /** What is not whole: said, and searched as bytes. */
  readonly onProblem: (source: string, message: string) => void;
  readonly signal?: AbortSignal | undefined;
}

const WINDOW_BYTES = 8 * 1024 * 1024;
const OVERLAP_BYTES = 2 * 1024 * 1024;
const ENTRIES_PER_TURN = 1_000;
/** `<sequence>-<index>.wal`, both hexadecimal. */
const SEGMENT = /^([0-9a-f]{16})-[0-9a-f]{16}\.wal$/;

/** @throws OpsError source-unreadable */
export async function searchMemberLog(search: MemberLogSearch): Promise<void> {
  const walFolder = join(search.folder, 'wal');
  const walFiles = await filesIn(walFolder);
  const segments = walFiles.flatMap((name) => {
    const sequence = SEGMENT.exec(name)?.[1];
    return sequence === undefined ? [] : [{ name, sequence: Number.parseInt(sequence, 16) }];
  });
  let before: { readonly sequence: number; readonly crc: number } | undefined;
  for (const [index, { name, sequence }] of segments.entries()) {
    const isLast = index === segments.length - 1;
    const crcBefore = before?.sequence === sequence - 1 ? before.crc : undefined;
    const crc = await withFile(join(walFolder, name), (file, path) =>
      searchSegment(search, { file, path, isLast, crcBefore }),
    );
    before = crc === undefined ? undefined : { sequence, crc };
  }
  // What repairs and crashes leave: *.broken, and files that were never finished.
  for (const name of walFiles.filter((file) => !SEGMENT.test(file))) {
    await withFile(join(walFolder, name), (file, path) =>
      searchBytes(search, file, { path, place: 'wal-slack', from: 0 }),
    );
  }
  const snapFolder = join(search.folder, 'snap');
  for (const name of await filesIn(snapFolder)) {
    if (name === 'db' || name.endsWith('.snap.db')) continue;
    await withFile(join(snapFolder, name), (file, path) =>
      searchBytes(search, file, { path, place: 'raft-snapshot', from: 0 }),
    );
  }
}

interface Segment {
  readonly file: PageFile;
  readonly path: string;
  readonly isLast: boolean;
  readonly crcBefore: number | undefined;
}

/** Where the checksums stand at its end; undefined when it is not whole. */
async function searchSegment(
  search: MemberLogSearch,
  { file, path, isLast, crcBefore }: Segment,
): Promise<number | undefined> {
  const finding = { source: path, place: 'wal', remedy: search.remedy('wal') } as const;
  let entries = 0;
  for (const piece of readWalSegment(file, isLast, crcBefore)) {
    if (piece.kind === 'end') {
      if (piece.problem !== undefined) search.onProblem(path, piece.problem);
      await searchBytes(search, file, { path, place: 'wal-slack', from: piece.at });
      return piece.problem === undefined ? piece.crc : undefined;
    }
    const puts = loggedPuts(piece.data);
    if (puts === undefined) search.onProblem(path, 'a record of type entry holds none');
    for (const { key, value } of puts ?? []) search.leftovers.add(finding, key, value);
    if (++entries % ENTRIES_PER_TURN === 0) {
      search.signal?.throwIfAborted();
      await setImmediate();
    }
  }
  return undefined;
}

async function searchBytes(
  search: MemberLogSearch,
  file: PageFile,
  where: { readonly path: string; readonly place: ResiduePlace; readonly from: number },
): Promise<void> {
  const finding = { source: where.path, place: where.place, remedy: search.remedy(where.place) };
  for (let from = where.from; from < file.sizeBytes;) {
    const bytes = file.read(from, Math.min(WINDOW_BYTES, file.sizeBytes - from));
    const goesOn = from + bytes.length < file.sizeBytes;
    const searchedBytes = goesOn ? bytes.length - OVERLAP_BYTES : bytes.length;
    for (const { at, key, value, isWhole } of findFragments(bytes, search.prefix)) {
      if (at < searchedBytes) search.leftovers.add(finding, key, value, isWhole);
    }
    from += searchedBytes;
    search.signal?.throwIfAborted();
    await setImmediate();
  }
}

async function withFile<T>(path: string, use: (file: PageFile, path: string) => Promise<T>): Promise<T> {
  const file = openPageFile(path);
  try {
    return await use(file, path);
  } finally {
    file.close();
  }
}

/** In order of name, which is the order of writing. */
export async function filesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).toSorted();
  } catch (error) {
    throw new OpsError(
      'source-unreadable',
      `${folder} cannot be read: name the --data-dir of etcd, as a user who may read it.`,
      error,
    );
  }
}
