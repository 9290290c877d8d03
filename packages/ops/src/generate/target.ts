/**
 * What a migration or a new configuration writes with, as a provider of one entry.
 */
import type { EncryptionConfiguration, ProviderConfiguration } from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { socketOf, staticKinds } from '../lint/readers.js';

export type MigrationTarget =
  | {
      readonly kind: (typeof staticKinds)[number];
      /** Default: the first of `key1`, `key2`, … that is free. */
      readonly keyName?: string;
      /** Base64, as `generateKey` gives it. */
      readonly secret: string;
    }
  | {
      readonly kind: 'kms';
      /** KMS v2 names are unique: further entries of the file get `name-2`, `name-3`, …. */
      readonly name: string;
      /** `unix:///path`. */
      readonly endpoint: string;
      readonly timeoutMs: number;
    }
  | { readonly kind: 'identity' };

/** The provider to write with for one entry after another; a new object for each. */
export type ProviderOfEntry = () => ProviderConfiguration;

/** @throws OpsError invalid-option when a name is taken */
export function createTargetProvider(
  target: MigrationTarget,
  config: EncryptionConfiguration,
): ProviderOfEntry {
  const all = config.resources.flatMap(({ providers }) => providers);
  if (target.kind === 'identity') return () => ({ identity: {} });
  if (target.kind === 'kms') {
    const { name, endpoint, timeoutMs } = target;
    const taken = new Set(all.flatMap(({ kms }) => kms?.name ?? []));
    return () => {
      const free = firstFree(taken, name);
      taken.add(free);
      return { kms: { apiVersion: 'v2', name: free, endpoint, timeoutMs, cacheSize: undefined } };
    };
  }
  const taken = new Set(
    all.flatMap((provider) =>
      staticKinds.flatMap((kind) => provider[kind]?.keys.map(({ name }) => name) ?? []),
    ),
  );
  const { kind, secret, keyName = firstFree(taken, 'key', 1) } = target;
  if (taken.has(keyName)) {
    throw new OpsError(
      'invalid-option',
      `The file has a key named ${JSON.stringify(keyName)}: choose another name.`,
    );
  }
  if (keyName === '' || keyName.includes(':')) {
    throw new OpsError('invalid-option', "The name of a key must not be empty, and must not contain ':'.");
  }
  return () => ({ [kind]: { keys: [{ name: keyName, secret }] } });
}

/** Whether a provider that is there already is what the target asks for. */
export function isTarget(provider: ProviderConfiguration, target: MigrationTarget): boolean {
  if (target.kind === 'identity') return provider.identity !== undefined;
  if (target.kind !== 'kms') return false;
  return provider.kms?.apiVersion === 'v2' && socketOf(provider.kms.endpoint) === socketOf(target.endpoint);
}

/** @param from the first number to try behind the word; undefined: the word alone, then from 2 on */
function firstFree(taken: ReadonlySet<string>, word: string, from?: number): string {
  if (from === undefined && !taken.has(word)) return word;
  const separator = from === undefined ? '-' : '';
  for (let number = from ?? 2; ; number++) {
    const name = `${word}${separator}${number}`;
    if (!taken.has(name)) return name;
  }
}
