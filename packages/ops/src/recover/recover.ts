/**
 * Every object of a source, opened and decoded, without an API server: one after the other, in the order in which they can be applied, in
 * bounded memory: the source is read once for each step of that order.
 */
import type { JsonObject } from '@waxseal/api-types';
import type { EncryptionAtRest } from '@waxseal/encryption-config';
import { EnvelopeError, errorMessage, type EnvelopeErrorCode } from '@waxseal/envelope';
import { parseObjectPath, readerOf, type ObjectPath } from '../object-path.js';
import { liveUnder, type Source, type StoredKeyValue } from '../sources/source.js';
import { describeStoredValue } from '../stored-value.js';
import { applySteps } from './apply-order.js';
import { forApply, withoutManagedFields, withoutServerFields } from './for-apply.js';
import { readManifest } from './manifest.js';
import { createSelector, type Selection } from './selection.js';

/**
 * - `stored`: all of it
 * - `no-managed-fields`: without who owned which field
 * - `no-server-fields`: without what only a server sets
 * - `for-apply`: as another cluster takes it; what that makes itself is `left-out`
 */
export type ManifestForm = 'stored' | 'no-managed-fields' | 'no-server-fields' | 'for-apply';

export interface RecoverOptions extends Selection {
  readonly form: ManifestForm;
  /** Of the storage keys: `/registry`, or another. */
  readonly prefix: string;
  readonly encryption: Pick<EncryptionAtRest, 'transformerFor'>;
  readonly signal?: AbortSignal;
  /** Called for every stored value that was looked at, wanted or not. */
  readonly onProgress?: (looked: number) => void;
}

export type Recovered =
  | { readonly kind: 'object'; readonly path: ObjectPath; readonly key: string; readonly object: JsonObject }
  | { readonly kind: 'left-out'; readonly key: string }
  | Unrecovered;

/** What could not be made an object; nothing of it is lost. */
interface Unrecovered {
  readonly kind: 'unrecovered';
  readonly key: string;
  /** `open`: it could not be decrypted, and `bytes` are as stored. `decode`: it could, and `bytes` are the plaintext. */
  readonly stage: 'open' | 'decode';
  readonly cause: UnrecoveredCause;
  readonly reason: string;
  readonly bytes: Buffer;
}

/**
 * A code of EnvelopeError; `undecodable`; `incomplete`: the object stands before it, and lacks something; `foreign`: the key is not an API
 * server's; `other`. For counting.
 */
type UnrecoveredCause = EnvelopeErrorCode | 'undecodable' | 'incomplete' | 'foreign' | 'other';

/** @throws OpsError source-unreadable, source-damaged; the signal's reason when it is aborted */
export async function* recoverObjects(source: Source, options: RecoverOptions): AsyncGenerator<Recovered> {
  const isWanted = createSelector(options);
  const isFiltered =
    options.resources !== undefined || options.namespace !== undefined || options.name !== undefined;
  let looked = 0;
  for (const step of applySteps(options.prefix, options.resources)) {
    for await (const stored of liveUnder(source, step.prefixes)) {
      options.signal?.throwIfAborted();
      if (step.isElsewhere(stored.key)) continue;
      options.onProgress?.(++looked);
      const path = parseObjectPath(stored.key.toString(), options.prefix);
      if (path === undefined) {
        // A key of something else than the API server; its name says nothing of what is wanted.
        if (!isFiltered) yield foreign(stored);
      } else if (isWanted(path)) yield* await recoverObject(stored, path, options);
    }
  }
}

async function recoverObject(
  { key, value }: StoredKeyValue,
  path: ObjectPath,
  options: RecoverOptions,
): Promise<readonly Recovered[]> {
  const text = key.toString();
  let data: Buffer;
  try {
    const reader = readerOf(path, value, (resource) => options.encryption.transformerFor(resource));
    const opened = reader.transformFromStorage(value, key);
    ({ data } = opened instanceof Promise ? await opened : opened);
  } catch (error) {
    const cause = error instanceof EnvelopeError ? error.code : 'other';
    return [
      { kind: 'unrecovered', key: text, stage: 'open', cause, reason: errorMessage(error), bytes: value },
    ];
  }
  const manifest = readManifest(data);
  if (manifest.kind === 'undecodable') {
    const { reason } = manifest;
    return [{ kind: 'unrecovered', key: text, stage: 'decode', cause: 'undecodable', reason, bytes: data }];
  }
  const object = FORMS[options.form](manifest.object, path);
  if (object === undefined) return [{ kind: 'left-out', key: text }];
  const recovered: Recovered = { kind: 'object', path, key: text, object };
  if (manifest.lost.length === 0) return [recovered];
  const reason = `the object before this lacks ${manifest.lost.join('; ')}: these are all of its bytes`;
  return [
    recovered,
    { kind: 'unrecovered', key: text, stage: 'decode', cause: 'incomplete', reason, bytes: data },
  ];
}

const FORMS: Readonly<Record<ManifestForm, typeof forApply>> = {
  stored: (object) => object,
  'no-managed-fields': withoutManagedFields,
  'no-server-fields': withoutServerFields,
  'for-apply': forApply,
};

function foreign({ key, value }: StoredKeyValue): Unrecovered {
  const stage = describeStoredValue(value).provider === 'identity' ? 'decode' : 'open';
  return {
    kind: 'unrecovered',
    key: key.toString(),
    stage,
    cause: 'foreign',
    reason: 'the key names no object of an API server',
    bytes: value,
  };
}
