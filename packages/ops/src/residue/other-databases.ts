/**
 * Databases beside the live one: those that a leader sent to a member, and backups. They are compared with what is live now, not with
 * themselves: a backup of last month is consistent in itself, and full of what is sealed today.
 */
import { join } from 'node:path';
import { OpsError } from '../errors.js';
import { backupPath, listBackups } from '../retire/backup-file.js';
import { refuseWrongPrefix } from '../sources/prefix-check.js';
import { openSnapshotSource } from '../sources/snapshot-source.js';
import { searchDatabase } from './database-leftovers.js';
import type { Leftovers } from './leftovers.js';
import { filesIn } from './member-log.js';
import { backupRemedy } from './remedies.js';

const VALUES_PER_TURN = 1_000;

export interface OtherDatabaseSearch {
  readonly prefix: Buffer;
  /** Knows how everything is stored today. */
  readonly leftovers: Leftovers;
  /** What is not whole, or no snapshot at all. */
  readonly onProblem: (source: string, message: string) => void;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** `*.snap.db` in a member's `snap` folder. */
export async function searchSentDatabases(folder: string, search: OtherDatabaseSearch): Promise<void> {
  for (const name of await filesIn(folder)) {
    if (!name.endsWith('.snap.db')) continue;
    const path = join(folder, name);
    try {
      await searchOtherDatabase(path, search);
    } catch (error) {
      if (!(error instanceof OpsError) || error.code !== 'source-damaged') throw error;
      search.onProblem(path, error.message);
    }
  }
}

/**
 * Every file of a folder of backups. One that cannot be read stops nothing: it is a problem.
 *
 * @returns how many files there are
 * @throws OpsError source-unreadable for the folder itself
 */
export async function searchBackups(directory: string, search: OtherDatabaseSearch): Promise<number> {
  const names = await listBackups(directory);
  for (const name of names) {
    try {
      await searchOtherDatabase(await backupPath(directory, name), search);
    } catch (error) {
      search.signal?.throwIfAborted();
      const reason = error instanceof Error ? error.message : String(error);
      search.onProblem(join(directory, name), `${reason}; move away what is not a snapshot`);
    }
  }
  return names.length;
}

async function searchOtherDatabase(path: string, search: OtherDatabaseSearch): Promise<void> {
  const { prefix, leftovers, signal } = search;
  const source = await openSnapshotSource(path);
  try {
    const finding = { source: source.name, place: 'live', remedy: backupRemedy() } as const;
    let live = 0;
    for await (const { key, value } of source.live(prefix)) {
      if (live++ % VALUES_PER_TURN === 0) signal?.throwIfAborted();
      leftovers.add(finding, key, value);
    }
    if (live === 0) await refuseWrongPrefix(source, prefix);
    await searchDatabase({ ...search, source, remedy: backupRemedy });
  } finally {
    await source.close();
  }
}
