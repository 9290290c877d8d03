/**
 * The name of a key as a person gives it, and whether a stored value needs that key.
 */
import { OpsError } from '../errors.js';
import type { ProviderKind, StoredValueKind } from '../stored-value.js';

/** What a value says about its key, without the value. */
export type KeyUse = Pick<StoredValueKind, 'provider' | 'key' | 'kmsName'>;

export interface KeyReference {
  /** As it was given. */
  readonly text: string;
  /** Undefined: of any provider. */
  readonly providers: readonly ProviderKind[] | undefined;
  /** Name of a static key, name of a KMS provider, or keyID of a KMS. */
  readonly name: string;
}

const PROVIDERS: Readonly<Record<string, readonly ProviderKind[]>> = {
  aescbc: ['aescbc'],
  aesgcm: ['aesgcm'],
  secretbox: ['secretbox'],
  kms: ['kms-v1', 'kms-v2'],
  'kms-v1': ['kms-v1'],
  'kms-v2': ['kms-v2'],
};

/**
 * `aescbc:key1`, `kms-v2:name`, or a name alone. A name alone is a KMS's keyID, a KMS provider's name or a static key's name, whichever
 * there is: asked too widely, the answer is no once too often, never yes. KeyIDs may hold colons (`arn:aws:kms:…`).
 *
 * @throws OpsError invalid-option
 */
export function parseKeyReference(text: string): KeyReference {
  const colon = text.indexOf(':');
  const word = text.slice(0, Math.max(colon, 0));
  const providers = Object.hasOwn(PROVIDERS, word) ? PROVIDERS[word] : undefined;
  const name = providers === undefined ? text : text.slice(colon + 1);
  if (name === '') {
    throw new OpsError(
      'invalid-option',
      'the key has no name: write provider:name, as aescbc:key1, or the keyID or name of a KMS',
    );
  }
  return { text, providers, name };
}

export function needsKey(use: KeyUse, { providers, name }: KeyReference): boolean {
  if (use.provider === 'identity') return false;
  if (providers !== undefined && !providers.includes(use.provider)) return false;
  return use.key === name || use.kmsName === name;
}

/**
 * Sealed, but with what cannot be told: written by something this version does not know, or damaged. It might need any key.
 */
export function isUndecided(use: KeyUse): boolean {
  return use.provider === 'unknown' || (use.provider === 'kms-v2' && use.key === '');
}
