/**
 * The backups in a folder, and what tells one from another without reading it whole.
 *
 * `etcdctl snapshot save` appends the SHA-256 of everything before it (etcd `snapshot/v3_snapshot.go`), so the last 32 bytes
 * of such a file are its identity; its size is then 32 more than a multiple of 512. A bare database has none: it is hashed.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OpsError } from '../errors.js';

export interface BackupFile {
  readonly path: string;
  /** Relative to the folder. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

const SHA256_BYTES = 32;
const SECTOR_BYTES = 512;

/**
 * Every file in the folder and its folders, by name; hidden ones are left out.
 *
 * @throws OpsError source-unreadable
 */
export async function listBackups(directory: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true, recursive: true });
    const names = entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(join(directory, '/').length));
    return names.filter((name) => !name.split('/').some((part) => part.startsWith('.'))).toSorted();
  } catch (error) {
    throw new OpsError(
      'source-unreadable',
      `the folder of backups cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  }
}

/** @throws a system error when there is none, OpsError source-unreadable when it is no file: a pipe or a device would hang or never end */
export async function backupPath(directory: string, name: string): Promise<string> {
  const path = join(directory, name);
  if (!(await stat(path)).isFile()) throw new OpsError('source-unreadable', 'it is not a regular file');
  return path;
}

/** @throws a system error when the file cannot be read, OpsError source-unreadable when it is no file */
export async function identifyBackup(directory: string, name: string): Promise<BackupFile> {
  const path = await backupPath(directory, name);
  const found = await stat(path);
  const hasDigest = found.size % SECTOR_BYTES === SHA256_BYTES && found.size > SECTOR_BYTES;
  const sha256 = hasDigest ? await lastBytes(path, found.size) : await hashOf(path);
  return { path, name, sizeBytes: found.size, sha256 };
}

async function lastBytes(path: string, sizeBytes: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const digest = Buffer.alloc(SHA256_BYTES);
    const { bytesRead } = await file.read(digest, 0, SHA256_BYTES, sizeBytes - SHA256_BYTES);
    if (bytesRead !== SHA256_BYTES) throw new OpsError('source-unreadable', 'it became shorter meanwhile');
    return digest.toString('hex');
  } finally {
    await file.close();
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
