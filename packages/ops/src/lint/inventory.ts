/**
 * What is stored, as far as lint needs it: how many values each key or KMS provider has, by resource.
 */
import { formatGroupResource } from '@waxseal/encryption-config';
import { parseObjectPath } from '../object-path.js';
import type { Source } from '../sources/source.js';
import { describeStoredValue, type ProviderKind } from '../stored-value.js';

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

/**
 * @param prefix what the API server's --etcd-prefix is, `/registry` by default
 * @throws OpsError source-unreadable, source-damaged
 */
export async function takeInventory(source: Source, prefix: string): Promise<Inventory> {
  const root = prefix.endsWith('/') ? prefix : `${prefix}/`;
  const groups = new Map<string, { -readonly [K in keyof StoredGroup]: StoredGroup[K] }>();
  for await (const { key, value } of source.live(Buffer.from(root))) {
    const path = parseObjectPath(key.toString('utf8'), prefix);
    if (path === undefined) continue;
    const { provider, key: keyName, kmsName } = describeStoredValue(value);
    const group = { resource: formatGroupResource(path), provider, name: kmsName ?? keyName };
    const id = `${group.resource} ${provider} ${group.name}`;
    const known = groups.get(id) ?? { ...group, count: 0 };
    known.count++;
    groups.set(id, known);
  }
  return [...groups.values()];
}
