/**
 * Which values a configuration's writer did not write, or its readers cannot read: told by what the values say, without a key.
 */
import type { EncryptionConfiguration } from '@waxseal/encryption-config';
import { formatGroupResource } from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { parseObjectPath, keyRootOf, ruleOf } from '../object-path.js';
import { FIRST_KEYS } from '../retire/key-uses.js';
import type { Source } from '../sources/source.js';
import { describeStoredValue } from '../stored-value.js';
import { entriesOf, sealedBy, type ProviderEntry } from './provider-entry.js';
import { ruleCovering } from './rotation-configurations.js';

export interface RemainingOptions {
  readonly source: Source;
  readonly prefix: string;
  readonly config: EncryptionConfiguration;
  /** `writer`: the first provider alone. `readers`: any provider. */
  readonly by: 'writer' | 'readers';
  /** Of this KMS v2 provider only values under this keyID count as written. */
  readonly kmsKeyId?: { readonly name: string; readonly keyId: string };
  readonly signal?: AbortSignal;
}

export interface Remaining {
  readonly checked: number;
  readonly count: number;
  /** The storage keys of the first few. */
  readonly keys: readonly string[];
}

/** Resources without a rule are none of its business. @throws OpsError source-unreadable, source-damaged, interrupted */
export async function countRemaining(options: RemainingOptions): Promise<Remaining> {
  const { source, prefix, config, by, kmsKeyId } = options;
  const byResource = new Map<string, readonly ProviderEntry[]>();
  const entriesFor = (resource: string): readonly ProviderEntry[] => {
    const known = byResource.get(resource);
    if (known !== undefined) return known;
    const all = entriesOf(ruleCovering(config, resource)?.providers ?? []);
    const entries = by === 'writer' ? all.slice(0, 1) : all;
    byResource.set(resource, entries);
    return entries;
  };
  let checked = 0;
  let count = 0;
  const keys: string[] = [];
  for await (const { key, value } of source.live(Buffer.from(keyRootOf(prefix)))) {
    if (options.signal?.aborted === true)
      throw new OpsError('interrupted', 'interrupted; run it again to go on');
    const name = key.toString('utf8');
    const path = parseObjectPath(name, prefix);
    const rule = path && ruleOf(path, value);
    const entries = rule === undefined ? [] : entriesFor(formatGroupResource(rule));
    if (entries.length === 0) continue;
    checked++;
    const kind = describeStoredValue(value);
    const newKeyId = kmsKeyId === undefined || kind.kmsName !== kmsKeyId.name || kind.key === kmsKeyId.keyId;
    if (newKeyId && entries.some((entry) => sealedBy(entry, kind))) continue;
    count++;
    if (keys.length < FIRST_KEYS) keys.push(name);
  }
  return { checked, count, keys };
}
