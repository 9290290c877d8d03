/**
 * The providers of a rule as one flat order of keys: the first writes, all read. An element with several keys reads and writes as the
 * same keys in elements of their own do (k8s.io/apiserver `server/options/encryptionconfig`), so order is all that counts.
 */
import {
  formatDuration,
  type KmsConfiguration,
  type ProviderConfiguration,
} from '@waxseal/encryption-config';
import type { StoredValueKind } from '../stored-value.js';

export type StaticProvider = 'aescbc' | 'aesgcm' | 'secretbox';

export type ProviderEntry =
  | { readonly kind: 'identity' }
  | {
      readonly kind: 'static';
      readonly provider: StaticProvider;
      readonly name: string;
      readonly secret: string;
    }
  | { readonly kind: 'kms'; readonly kms: KmsConfiguration };

const STATIC_PROVIDERS = ['aescbc', 'aesgcm', 'secretbox'] as const;

export function entriesOf(providers: readonly ProviderConfiguration[]): readonly ProviderEntry[] {
  return providers.flatMap((provider): readonly ProviderEntry[] => {
    if (provider.kms !== undefined) return [{ kind: 'kms', kms: provider.kms }];
    const name = STATIC_PROVIDERS.find((each) => provider[each] !== undefined);
    if (name === undefined) return [{ kind: 'identity' }];
    return (provider[name]?.keys ?? []).map((key) => ({ kind: 'static', provider: name, ...key }));
  });
}

/** Neighbours of one static provider share an element, as people write it. */
export function providersOf(entries: readonly ProviderEntry[]): readonly ProviderConfiguration[] {
  const providers: ProviderConfiguration[] = [];
  for (const entry of entries) {
    if (entry.kind === 'identity') {
      providers.push({ identity: {} });
    } else if (entry.kind === 'kms') {
      providers.push({ kms: entry.kms });
    } else {
      const { provider, name, secret } = entry;
      const before = providers.at(-1)?.[provider];
      if (before !== undefined) providers.pop();
      providers.push({ [provider]: { keys: [...(before?.keys ?? []), { name, secret }] } });
    }
  }
  return providers;
}

/** How a person names it, and `waxseal retire` takes it: `aescbc:key1`, `kms-v2:cloud`, `identity`. */
export function nameOfEntry(entry: ProviderEntry): string {
  if (entry.kind === 'static') return `${entry.provider}:${entry.name}`;
  return entry.kind === 'kms' ? `kms-${entry.kms.apiVersion}:${entry.kms.name}` : 'identity';
}

/** Everything that decides how it seals: two entries of one name may still hold different keys. */
export function fingerprintOfEntry(entry: ProviderEntry): string {
  if (entry.kind === 'static') return JSON.stringify([entry.provider, entry.name, entry.secret.trim()]);
  if (entry.kind === 'identity') return 'identity';
  const { apiVersion, name, endpoint, cacheSize, timeoutMs } = entry.kms;
  return JSON.stringify([apiVersion, name, endpoint, cacheSize, formatDuration(timeoutMs)]);
}

/** Whether the value names this entry; which key really sealed it only that key can tell. */
export function sealedBy(entry: ProviderEntry, kind: StoredValueKind): boolean {
  if (entry.kind === 'static') return kind.provider === entry.provider && kind.key === entry.name;
  if (entry.kind === 'identity') return kind.provider === 'identity';
  return kind.provider === `kms-${entry.kms.apiVersion}` && kind.kmsName === entry.kms.name;
}
