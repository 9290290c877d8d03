/**
 * What is stored, as far as lint needs it: how many values each key or KMS provider has, by resource.
 */
import { formatGroupResource } from '@waxseal/encryption-config';
import { registryRecords } from '../registry-table.js';
import type { ScanResult } from '../scan/scan.js';
import type { ProviderKind } from '../stored-value.js';

/** What `scan` calls keys that are no object's. */
const OTHER_KEYS = '(other)';

export interface StoredGroup {
  /** As a configuration writes it: `secrets`, `deployments.apps`. */
  readonly resource: string;
  readonly provider: ProviderKind;
  /** The key's name; for KMS the provider's name in the configuration. Empty for identity and unknown. */
  readonly name: string;
  readonly count: number;
}

export type Inventory = readonly StoredGroup[];

/** How many values of a resource a provider's prefix stands before. */
export function countOf(
  inventory: Inventory,
  resource: string,
  reader: { readonly kind: ProviderKind; readonly name: string },
): number {
  return inventory
    .filter(
      (group) => group.resource === resource && group.provider === reader.kind && group.name === reader.name,
    )
    .reduce((sum, { count }) => sum + count, 0);
}

/** By whose rule a sealed record of kube-apiserver was written. */
const SEALED_AS: ReadonlyMap<string, string> = new Map(
  registryRecords.map(({ path, sealedAs }) => [path, formatGroupResource(sealedAs)]),
);

/** Of what `scan` counted. Keys that are no object's are left out, and so are plaintext records: no configuration concerns them. */
export function inventoryOf({ groups }: Pick<ScanResult, 'groups'>): Inventory {
  return groups
    .filter(({ resource }) => resource !== OTHER_KEYS)
    .filter(({ resource, provider }) => !SEALED_AS.has(resource) || provider !== 'identity')
    .map(({ resource, provider, key, kmsName, count }) => ({
      resource: SEALED_AS.get(resource) ?? resource,
      provider,
      name: kmsName ?? key,
      count,
    }));
}
