/**
 * One process to a rotation: a lock named after the state file's folder and name. Where that finds nobody out (between containers or
 * machines that share the folder), the state's count of writes does.
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { takeProcessLock } from '@waxseal/storage';
import { OpsError } from '../errors.js';

/** @throws OpsError state-invalid when another process holds it; source-unreadable when the folder is not there */
export async function withRotationLock<T>(stateFile: string, work: () => Promise<T>): Promise<T> {
  const lock = await takeProcessLock(await lockName(stateFile));
  if ('holderPid' in lock) {
    const who = lock.holderPid === undefined ? 'another process' : `process ${lock.holderPid}`;
    throw new OpsError('state-invalid', `${who} works on the rotation in ${stateFile}: let it end first`);
  }
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

async function lockName(stateFile: string): Promise<string> {
  const path = resolve(stateFile);
  try {
    const { dev, ino } = await stat(dirname(path), { bigint: true });
    const file = createHash('sha256').update(basename(path)).digest('hex').slice(0, 32);
    return `waxseal-rotation-${dev}-${ino}-${file}`;
  } catch (error) {
    throw new OpsError('source-unreadable', `the folder of ${path} cannot be read: ${String(error)}`, error);
  }
}
