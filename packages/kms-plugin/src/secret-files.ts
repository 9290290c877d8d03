/**
 * Files that hold secrets and can be read by others than their owner: told, once each. Not refused, because Kubernetes mounts secrets with mode 0644
 * unless told otherwise, and because the folder around a file may keep others out.
 */
import { stat } from 'node:fs/promises';
import type { Logger } from './logger.js';

const othersMask = 0o077;

/** @returns its mode in octal when others than the owner may read, write or run it; undefined also when it cannot be looked at */
async function openMode(file: string): Promise<string | undefined> {
  try {
    const { mode } = await stat(file);
    return (mode & othersMask) === 0 ? undefined : (mode & 0o777).toString(8).padStart(4, '0');
  } catch {
    // Whoever needs the file says what is wrong with it.
    return undefined;
  }
}

/** @returns looks at all files, and warns of each that is open to others the first time it is */
export function createSecretFileWatch(
  keySet: string,
  files: readonly string[],
  logger: Logger,
): () => Promise<void> {
  const told = new Set<string>();
  return async () => {
    for (const file of files) {
      const mode = await openMode(file);
      if (mode === undefined || told.has(file)) continue;
      told.add(file);
      logger.warn({ keySet, file, mode }, 'a file with a secret can be read by others; make it 0600');
    }
  };
}
