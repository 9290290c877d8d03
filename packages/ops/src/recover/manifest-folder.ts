/**
 * What was recovered as a folder of private files: `<resource>[.<group>]/<namespace>/<name>.yaml`, cluster-wide objects without the folder
 * in the middle; what could not be an object under `_unrecovered`.
 *
 * Names come from storage keys, which may say anything: whatever is more than a plain name is percent-encoded, so no file lands outside.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { formatGroupResource } from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { fileUnwritable } from '../file-unwritable.js';
import { formatRecovered, type ManifestFormat, type Writable } from './manifest-text.js';

/** File systems take 255 bytes; the ending needs some, and so does the hash of a longer name. */
const NAME_MAX_BYTES = 240;
const HASH_DIGITS = 16;

export interface ManifestFolder {
  /** A name that is taken is never overwritten. */
  write(recovered: Writable): Promise<void>;
  /** Takes everything away that was written: a half of the objects looks like all of them. */
  discard(): Promise<void>;
}

/**
 * Makes the folder (0700) when it is missing; one that holds something is refused, so that no old object stands among the new.
 *
 * @throws OpsError invalid-option, file-unwritable
 */
export async function openManifestFolder(path: string, format: ManifestFormat): Promise<ManifestFolder> {
  await naming(path, mkdir(path, { recursive: true, mode: 0o700 }));
  if ((await readdir(path)).length > 0) {
    throw new OpsError(
      'invalid-option',
      `${path} holds something already; name a new folder or an empty one.`,
    );
  }
  const made = new Set<string>();
  return {
    async write(recovered) {
      const file = join(path, ...segmentsOf(recovered)) + (format === 'yaml' ? '.yaml' : '.json');
      const folder = dirname(file);
      if (!made.has(folder)) {
        await naming(folder, mkdir(folder, { recursive: true, mode: 0o700 }));
        made.add(folder);
      }
      const text = formatRecovered(recovered, format);
      await naming(file, writeFile(file, text, { mode: 0o600, flag: 'wx' }));
    },
    async discard() {
      for (const name of await readdir(path)) await rm(join(path, name), { recursive: true, force: true });
    },
  };
}

async function naming<T>(path: string, writing: Promise<T>): Promise<T> {
  try {
    return await writing;
  } catch (error) {
    throw fileUnwritable(path, error);
  }
}

function segmentsOf(recovered: Writable): readonly string[] {
  if (recovered.kind === 'unrecovered') return ['_unrecovered', safeName(recovered.key)];
  const { path } = recovered;
  const folder = safeName(formatGroupResource(path));
  return path.namespace === ''
    ? [folder, safeName(path.name)]
    : [folder, safeName(path.namespace), safeName(path.name)];
}

/** A name without `/`, not beginning with a dot or an underscore, short enough; different names stay different. */
function safeName(name: string): string {
  const encoded = [...Buffer.from(name)]
    .map((byte, index) => {
      const character = String.fromCharCode(byte);
      const isSafe = /[a-zA-Z0-9-]/.test(character) || (index > 0 && /[._:]/.test(character));
      return isSafe ? character : `%${byte.toString(16).padStart(2, '0')}`;
    })
    .join('');
  if (encoded.length <= NAME_MAX_BYTES) return encoded;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_DIGITS);
  return `${encoded.slice(0, NAME_MAX_BYTES - HASH_DIGITS - 1)}-${hash}`;
}
