/**
 * One process to a data directory: a lock named after the directory's device and inode. Where that finds nobody out (two containers that
 * share a directory), LMDB's reader table does instead (see open.ts).
 */
import { stat } from 'node:fs/promises';
import { type ProcessLock, takeProcessLock } from '../process-lock.js';
import { StoreError } from '../store.js';

/** @throws StoreError in-use */
export async function lockDirectory(path: string): Promise<ProcessLock> {
  const { dev, ino } = await stat(path, { bigint: true });
  const taken = await takeProcessLock(`waxseal-store-${dev}-${ino}`);
  if ('holderPid' in taken) throw inUse(path, taken.holderPid);
  return taken;
}

export function inUse(path: string, pid: number | undefined): StoreError {
  const who = pid === undefined ? 'another process' : `process ${pid}`;
  return new StoreError(
    'in-use',
    `the data directory ${path} is in use by ${who}; stop it, or choose another directory`,
  );
}
