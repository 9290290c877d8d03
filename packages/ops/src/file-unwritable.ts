/** What kept a file from being written, with its name: Node says of a failed write neither which file it was nor what to do. */
import { OpsError } from './errors.js';

/** Why, and what to do. */
const REASONS: Readonly<Record<string, readonly [string, string]>> = {
  ENOSPC: ['no space is left on its disk', 'free some, and start again'],
  EDQUOT: ['no space is left in the quota', 'free some, and start again'],
  EFBIG: ['no space: it may not grow so large here', 'choose another place, and start again'],
  EROFS: ['its file system is read-only', 'choose another place'],
  ENOENT: ['its folder does not exist', 'make it first'],
  ENOTDIR: ['a part of its path is no folder', 'choose another name'],
  EACCES: ['no right to', 'run as the user who owns the folder, or choose another place'],
  EPERM: ['no right to', 'run as the user who owns the folder, or choose another place'],
  EISDIR: ['a folder has that name', 'choose another one'],
};

/** @returns OpsError file-unwritable; what is no error of writing as it was */
export function fileUnwritable(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return error;
  const code = String(error.code);
  // That a name is taken is the caller's to say.
  if (error.syscall === 'read' || code === 'EEXIST') return error;
  const [why, advice] = REASONS[code] ?? [error.message, 'look at its disk'];
  return new OpsError('file-unwritable', `${path} cannot be written: ${why} (${code}); ${advice}`, error);
}
