/**
 * Files that only their owner may read. Created with their mode, never chmod-ed after; replaced by rename, so that a
 * reader sees the old file or the new one and a crash leaves no half.
 */
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CliError } from './errors.js';

/** Creates the folder (0700) when it is missing. One that others may write to, or that we may not, is refused. */
export function ensurePrivateDirectory(path: string): void {
  const present = lstatSync(path, { throwIfNoEntry: false });
  if (present === undefined) mkdirSync(path, { recursive: true, mode: 0o700 });
  const stat = present ?? lstatSync(path);
  if (!stat.isDirectory()) throw new CliError(`${path} is not a folder`, 'Choose another path.');
  accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  if ((stat.mode & 0o022) !== 0) {
    throw new CliError(
      `${path} can be written by other users`,
      `Take the right away first: chmod go-w ${shellWord(path)}`,
    );
  }
}

/** Writes the whole file with mode 0600 (or `mode`), replacing what was there in one step. */
export function writePrivateFile(path: string, content: string | Buffer, mode = 0o600): void {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(temporary, content, { mode, flag: 'wx', flush: true });
    renameSync(temporary, path);
  } catch (error) {
    if (existsSync(temporary)) unlinkSync(temporary);
    throw withoutSpace(path, error);
  }
}

/** Node does not say which file it was whose write found the disk full. */
export function withoutSpace(path: string, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (!['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code)) return error;
  return new CliError(
    `${path} cannot be written: no space is left (${code})`,
    'Free some and start again; what was there before is as it was.',
    undefined,
    { cause: error },
  );
}

/**
 * The file's content; written first by `create` when it is missing. Of several processes that find it missing the first
 * one's content stands, and all of them return it.
 */
export async function readOrCreate(path: string, create: () => string | Promise<string>): Promise<string> {
  if (!existsSync(path)) {
    const temporary = `${path}.${randomBytes(6).toString('hex')}`;
    writePrivateFile(temporary, await create());
    try {
      // Unlike rename, link refuses a name that is taken.
      linkSync(temporary, path);
    } catch (error) {
      if (!existsSync(path)) throw error;
    } finally {
      unlinkSync(temporary);
    }
  }
  return readFileSync(path, 'utf8');
}

/**
 * Writes a new file with mode 0600, piece by piece; the name is there once all of it is on disk. A name that is taken is refused.
 *
 * @returns the number of bytes
 */
export async function writeNewPrivateFile(
  path: string,
  content: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<number> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    let bytes = 0;
    for await (const piece of content) {
      signal.throwIfAborted();
      await file.writeFile(piece);
      bytes += piece.length;
    }
    await file.sync();
    // Unlike rename, link refuses a name that is taken.
    linkSync(temporary, path);
    await syncFolder(dirname(path));
    return bytes;
  } catch (error) {
    throw withoutSpace(path, error);
  } finally {
    await file.close();
    unlinkSync(temporary);
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** As a POSIX shell takes it, so that the command can be pasted. */
function shellWord(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
