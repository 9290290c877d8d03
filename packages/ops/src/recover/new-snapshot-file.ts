/**
 * A new snapshot of etcd: the database, then its SHA-256. Nobody but its owner reads it, and its name is there once all of it is on disk;
 * a name that is taken is refused.
 */
import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, link, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeBoltFile, type BoltBucket } from '@waxseal/storage';
import { OpsError } from '../errors.js';
import { fileUnwritable } from '../file-unwritable.js';

const PIECE_BYTES = 1024 * 1024;

/**
 * @param keep asked once the buckets are written: false takes everything back
 * @returns the size in bytes; undefined when it was not kept
 * @throws OpsError invalid-option when the name is taken; file-unwritable; what the buckets throw
 */
export async function writeNewSnapshotFile(
  path: string,
  buckets: readonly BoltBucket[],
  keep: () => boolean,
): Promise<number | undefined> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const file = await open(temporary, 'wx+', 0o600).catch((error: unknown) => {
    throw fileUnwritable(path, error);
  });
  try {
    const databaseBytes = await writeBoltFile(file, buckets);
    if (!keep()) return undefined;
    const digest = await sha256Of(file, databaseBytes);
    await file.write(digest, 0, digest.length, databaseBytes);
    await file.sync();
    await linkNew(temporary, path);
    return databaseBytes + digest.length;
  } catch (error) {
    throw fileUnwritable(path, error);
  } finally {
    await file.close();
    await rm(temporary, { force: true });
  }
}

async function sha256Of(file: FileHandle, sizeBytes: number): Promise<Buffer> {
  const hash = createHash('sha256');
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let position = 0; position < sizeBytes;) {
    const { bytesRead } = await file.read(piece, 0, Math.min(PIECE_BYTES, sizeBytes - position), position);
    if (bytesRead === 0)
      throw new OpsError('source-damaged', 'the new snapshot became shorter while it was written');
    hash.update(piece.subarray(0, bytesRead));
    position += bytesRead;
  }
  return hash.digest();
}

/** Unlike rename, link refuses a name that is taken. */
async function linkNew(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw nameTaken(path);
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export function nameTaken(path: string): OpsError {
  return new OpsError(
    'invalid-option',
    `${path} is there already and is never overwritten; choose another name.`,
  );
}
