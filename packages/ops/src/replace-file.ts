/**
 * Replaces a file in one step: who reads sees the old content or the new one, and a crash at any point leaves one of them.
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileUnwritable } from './file-unwritable.js';

export interface ReplaceFileOptions {
  /** Default 0600. */
  readonly mode?: number;
  /** Default: who runs this. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/**
 * On disk, name included, when it resolves.
 *
 * @throws OpsError file-unwritable: the old file is as it was
 */
export async function replaceFile(
  path: string,
  content: string | Buffer,
  options: ReplaceFileOptions = {},
): Promise<void> {
  try {
    await replace(path, content, options);
  } catch (error) {
    throw fileUnwritable(path, error);
  }
}

async function replace(path: string, content: string | Buffer, options: ReplaceFileOptions): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    try {
      await file.writeFile(content);
      await setAttributes(file, options);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/**
 * Takes away what replacing `path`, or files whose names go on from it, left behind when the process was killed: it may hold keys. Only
 * while nobody else replaces them.
 */
export async function removeTemporaries(path: string): Promise<void> {
  const folder = dirname(path);
  // A folder that cannot be read says so when the file itself is wanted.
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(`${basename(path)}.`) || !/\.[0-9a-f]{12}\.tmp$/.test(name)) continue;
    await rm(join(folder, name), { force: true });
  }
}

async function setAttributes(file: FileHandle, { mode = 0o600, owner }: ReplaceFileOptions): Promise<void> {
  if (owner !== undefined) {
    const now = await file.stat();
    if (now.uid !== owner.uid || now.gid !== owner.gid) await file.chown(owner.uid, owner.gid);
  }
  // Last: chown takes set-id bits away, and the umask does not bind chmod. Until here only the writer could read it.
  if (mode !== 0o600) await file.chmod(mode);
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
