/**
 * The root key in a file of its own, readable by its owner only.
 *
 * The file is one line, `waxseal-root-key-v1:` and 32 bytes in base64. It is created with mode 0600 and never
 * overwritten: losing it loses every key, so it is worth a backup apart from the data.
 */
import { timingSafeEqual } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KeyServiceError } from '../errors.js';
import type { RootKeyProtector } from './protector.js';

const LINE = /^waxseal-root-key-v1:([A-Za-z0-9+/]{43}=)\n?$/;

export function createFileProtector(path: string): RootKeyProtector {
  return {
    kind: 'file',
    prepared: () => readRootKey(path),
    async seal(rootKey) {
      const present = await readRootKey(path);
      if (present === undefined) await writeNew(path, `waxseal-root-key-v1:${rootKey.toString('base64')}\n`);
      else if (!timingSafeEqual(present, rootKey)) {
        throw new KeyServiceError(
          'root-key-wrong',
          `The file ${path} holds another root key. Move it away first; it may be the only copy of a key that other data needs.`,
        );
      }
      return Buffer.alloc(0);
    },
    async open() {
      const rootKey = await readRootKey(path);
      if (rootKey === undefined) {
        throw new KeyServiceError(
          'root-key-missing',
          `The root key file ${path} is missing, but the store holds keys that only it can open. Put the file back from your backup; without it the keys are lost.`,
        );
      }
      return rootKey;
    },
    async discard(rootKey) {
      const present = await readRootKey(path);
      if (present !== undefined && timingSafeEqual(present, rootKey)) await rm(path);
    },
  };
}

async function readRootKey(path: string): Promise<Buffer | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new KeyServiceError('root-key-unreadable', `The root key file ${path} cannot be read.`, {
      cause: error,
    });
  }
  try {
    const { mode, size } = await file.stat();
    if ((mode & 0o077) !== 0) {
      throw new KeyServiceError(
        'root-key-unreadable',
        `The root key file ${path} can be read by other users. Check who has read it, then run: chmod 600 ${shellWord(path)}`,
      );
    }
    const text = size <= 256 ? await file.readFile('latin1') : '';
    const encoded = LINE.exec(text)?.[1];
    if (encoded === undefined) {
      throw new KeyServiceError(
        'root-key-unreadable',
        `The file ${path} is not a root key file: it must be one line, waxseal-root-key-v1: and 44 characters of base64.`,
      );
    }
    return Buffer.from(encoded, 'base64');
  } finally {
    await file.close();
  }
}

async function writeNew(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  // The name itself must survive a crash too.
  const folder = await open(dirname(path), 'r');
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
