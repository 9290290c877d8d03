/**
 * Every object of a source, opened and decoded, without an API server: one after the other, in the order of the source, in bounded memory.
 */
import type { JsonObject } from '@waxseal/api-types';
import type { EncryptionAtRest } from '@waxseal/encryption-config';
import { errorMessage } from '@waxseal/envelope';
import { parseObjectPath, readerOf, type ObjectPath } from '../object-path.js';
import type { Source, StoredKeyValue } from '../sources/source.js';
import { describeStoredValue } from '../stored-value.js';
import { readManifest, type ManifestOptions } from './manifest.js';
import { createSelector, type Selection } from './selection.js';

export interface RecoverOptions extends Selection, ManifestOptions {
  /** Of the storage keys: `/registry`, or another. */
  readonly prefix: string;
  readonly encryption: Pick<EncryptionAtRest, 'transformerFor'>;
  readonly signal?: AbortSignal;
  /** Called for every stored value that was looked at, wanted or not. */
  readonly onProgress?: (looked: number) => void;
}

export type Recovered =
  | { readonly kind: 'object'; readonly path: ObjectPath; readonly key: string; readonly object: JsonObject }
  | Unrecovered;

/** What could not be made an object; nothing of it is lost. */
interface Unrecovered {
  readonly kind: 'unrecovered';
  readonly key: string;
  /** `open`: it could not be decrypted, and `bytes` are as stored. `decode`: it could, and `bytes` are the plaintext. */
  readonly stage: 'open' | 'decode';
  readonly reason: string;
  readonly bytes: Buffer;
}

/** @throws OpsError source-unreadable, source-damaged; the signal's reason when it is aborted */
export async function* recoverObjects(source: Source, options: RecoverOptions): AsyncGenerator<Recovered> {
  const isWanted = createSelector(options);
  const isFiltered =
    options.resources !== undefined || options.namespace !== undefined || options.name !== undefined;
  let looked = 0;
  for await (const stored of source.live(keyPrefix(options.prefix))) {
    options.signal?.throwIfAborted();
    options.onProgress?.(++looked);
    const path = parseObjectPath(stored.key.toString(), options.prefix);
    if (path === undefined) {
      // A key of something else than the API server; its name says nothing of what is wanted.
      if (!isFiltered) yield foreign(stored);
    } else if (isWanted(path)) yield await recoverObject(stored, path, options);
  }
}

async function recoverObject(
  { key, value }: StoredKeyValue,
  path: ObjectPath,
  options: RecoverOptions,
): Promise<Recovered> {
  const text = key.toString();
  let data: Buffer;
  try {
    const reader = readerOf(path, value, (resource) => options.encryption.transformerFor(resource));
    const opened = reader.transformFromStorage(value, key);
    ({ data } = opened instanceof Promise ? await opened : opened);
  } catch (error) {
    return unrecovered(text, 'open', errorMessage(error), value);
  }
  const manifest = readManifest(data, options);
  return manifest.kind === 'object'
    ? { kind: 'object', path, key: text, object: manifest.object }
    : unrecovered(text, 'decode', manifest.reason, data);
}

function foreign({ key, value }: StoredKeyValue): Unrecovered {
  const stage = describeStoredValue(value).provider === 'identity' ? 'decode' : 'open';
  return unrecovered(key.toString(), stage, 'the key names no object of an API server', value);
}

function unrecovered(key: string, stage: Unrecovered['stage'], reason: string, bytes: Buffer): Unrecovered {
  return { kind: 'unrecovered', key, stage, reason, bytes };
}

/** As keys begin with it: `/registry/`, so that `/registry2` is left out. */
function keyPrefix(prefix: string): Buffer {
  return Buffer.from(prefix.endsWith('/') ? prefix : `${prefix}/`);
}
