/**
 * What the entries cover, and, when a source was read, whether everything stored has a reader.
 */
import {
  type EncryptionConfiguration,
  formatGroupResource,
  parseGroupResource,
} from '@waxseal/encryption-config';
import { finding, type Finding } from './finding.js';
import type { Inventory, StoredGroup } from './inventory.js';
import { formatReader, readersByRule, readersFor, type ReadersByRule, ruleFor } from './readers.js';

/** Written all the time, and without secrets. */
const BUSY_RESOURCES = ['events', 'leases.coordination.k8s.io'];

export function checkCoverage(
  config: EncryptionConfiguration,
  inventory: Inventory | undefined,
): readonly Finding[] {
  const rules = readersByRule(config);
  return [
    ...checkRules(rules),
    ...checkRepeatedResources(config),
    ...(inventory === undefined ? [] : checkStored(rules, inventory)),
  ];
}

function checkRules(rules: ReadersByRule): readonly Finding[] {
  const findings: Finding[] = [];
  const where = 'resources';
  const encrypts = (resource: string): boolean => readersFor(rules, resource)[0]?.kind !== 'identity';
  if (ruleFor(rules, 'secrets') === undefined) {
    findings.push(
      finding('secrets-uncovered', { where, why: 'No entry covers secrets.', resources: ['secrets'] }),
    );
  }
  const gaps = ['configmaps', '*.', '*.*'].filter((resource) => ruleFor(rules, resource) === undefined);
  if (gaps.length > 0) {
    const why = gaps.includes('configmaps')
      ? 'No entry covers configmaps, in which passwords are often found, nor custom resources.'
      : 'No entry covers every resource: custom resources and what future versions add are stored as plaintext.';
    findings.push(finding('wildcard-gap', { where, why, resources: gaps }));
  }
  const busy = BUSY_RESOURCES.filter(encrypts);
  if (busy.length > 0) {
    const why = `${busy.join(' and ')} are encrypted: most writes of a cluster are theirs.`;
    findings.push(finding('busy-resource-encrypted', { where, why, resources: busy }));
  }
  return findings;
}

function checkRepeatedResources(config: EncryptionConfiguration): readonly Finding[] {
  const first = new Map<string, string>();
  return config.resources.flatMap(({ resources }, i) =>
    resources.flatMap((text, j) => {
      const name = formatGroupResource(parseGroupResource(text));
      const where = `resources[${i}].resources[${j}]`;
      const earlier = first.get(name);
      if (earlier === undefined) {
        first.set(name, where);
        return [];
      }
      const why = `${name} is already named at ${earlier}.`;
      return [finding('resource-repeated', { where, why, resources: [name] })];
    }),
  );
}

/** Stored values that no reader's prefix fits. */
function checkStored(rules: ReadersByRule, inventory: Inventory): readonly Finding[] {
  const unreadable = inventory.filter(
    ({ resource, provider, name }) =>
      !readersFor(rules, resource).some((reader) => reader.kind === provider && reader.name === name),
  );
  const byWriter = new Map<string, StoredGroup[]>();
  for (const group of unreadable) {
    const key = `${group.provider} ${group.name}`;
    byWriter.set(key, [...(byWriter.get(key) ?? []), group]);
  }
  return [...byWriter.values()].map(toFinding);
}

function toFinding(groups: readonly StoredGroup[]): Finding {
  const [{ provider, name } = { provider: 'unknown', name: '' } as const] = groups;
  const values = groups.reduce((sum, { count }) => sum + count, 0);
  const resources = [...new Set(groups.map(({ resource }) => resource))];
  const where = 'resources';
  if (provider === 'identity') {
    const why = 'Plaintext is stored that no entry with identity reads.';
    return finding('plaintext-unreadable', { where, why, resources, values });
  }
  const what = provider === 'unknown' ? 'an unknown provider' : formatReader({ kind: provider, name });
  const why = `Values are stored under ${what}, which no entry for them has.`;
  return finding('values-unreadable', { where, why, resources, values });
}
