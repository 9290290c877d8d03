/**
 * What the first provider of each entry does to what is written, and what the others are still there for.
 */
import type { EncryptionConfiguration } from '@waxseal/encryption-config';
import { bySeverity, finding, type Finding } from './finding.js';
import { countOf, type Inventory } from './inventory.js';
import {
  formatReader,
  isStatic,
  type Reader,
  readersByRule,
  type ReadersByRule,
  ruleFor,
} from './readers.js';

/** Writes under one key after which the documentation asks for another one. */
const GCM_DOCUMENTED_WRITES = 200_000;
/** NIST SP 800-38D §8.3: a key with random 96-bit nonces. */
const GCM_LIMIT_WRITES = 2 ** 32;

export function checkProviders(
  config: EncryptionConfiguration,
  inventory: Inventory | undefined,
): readonly Finding[] {
  const rules = readersByRule(config);
  const all = [...rules.values()].flat();
  const hasKms = all.some(({ kms }) => kms !== undefined);
  const findings = new Map<string, Finding>();
  for (const [rule, readers] of rules) {
    const [writer, ...others] = readers;
    if (writer === undefined) continue;
    const found = [
      ...checkWriter(writer, others, { hasKms, rule, rules }, (reader) =>
        storedUnder(reader, rules, inventory),
      ),
      ...others.flatMap(checkReader),
    ];
    // An entry for several resources has its findings once, with all of them.
    for (const one of found) {
      const key = `${one.id} ${one.where}`;
      const known = findings.get(key);
      const [worst = one] = bySeverity(known === undefined ? [one] : [known, one]);
      findings.set(key, { ...worst, resources: [...(known?.resources ?? []), rule] });
    }
  }
  return [...findings.values()];
}

type CountOf = (reader: Reader) => number | undefined;

function checkWriter(
  writer: Reader,
  others: readonly Reader[],
  { hasKms, rule, rules }: { readonly hasKms: boolean; readonly rule: string; readonly rules: ReadersByRule },
  count: CountOf,
): readonly Finding[] {
  const { where } = writer;
  const key = formatReader(writer);
  const findings: Finding[] = [];
  if (writer.kind === 'aescbc') {
    const why = `${key} writes: CBC without authentication lets a changed value pass, and padding errors tell of its content.`;
    findings.push(finding('aescbc-writes', { where, why }));
  }
  if (writer.kind === 'aesgcm') findings.push(checkGcm(writer, count(writer)));
  if (writer.kind === 'secretbox') {
    const why = `${key} writes: a value copied over another one is accepted there.`;
    findings.push(finding('secretbox-no-aad', { where, why }));
  }
  if (isStatic(writer)) {
    const why = hasKms
      ? `${key} writes although a KMS provider is configured.`
      : `${key} writes: the key lies in this file.`;
    findings.push(finding(hasKms ? 'static-beside-kms' : 'static-key', { where, why }));
  }
  const v2 = others.find(({ kind }) => kind === 'kms-v2');
  if (writer.kind === 'kms-v1' && v2 !== undefined) {
    const why = `${key} writes, ${formatReader(v2)} only reads.`;
    findings.push(finding('kms-v1-before-v2', { where, why }));
  }
  if (writer.kind === 'identity') {
    const after = others.length > 0 ? ' The providers after it only read.' : '';
    const why = `identity is first: what is written is plaintext.${after}`;
    // An entry that leaves events alone is meant.
    const severity = ruleFor(rules, 'secrets') === rule ? 'warning' : 'info';
    findings.push(finding('identity-first', { where, why, severity }));
  }
  return findings;
}

function checkGcm(writer: Reader, values: number | undefined): Finding {
  const { where } = writer;
  const key = formatReader(writer);
  if (values === undefined) {
    const why = `${key} writes with random nonces of 96 bits: a repeated one gives plaintext and forgeries away.`;
    return finding('gcm-not-rotated', { where, why });
  }
  const severity =
    values >= GCM_LIMIT_WRITES ? 'error' : values >= GCM_DOCUMENTED_WRITES ? 'warning' : 'info';
  const why = `${key} writes with random nonces of 96 bits, and every value was one write at least.`;
  return finding('gcm-not-rotated', { where, why, severity, values });
}

function checkReader(reader: Reader): readonly Finding[] {
  const { where, kind } = reader;
  if (kind === 'aescbc') {
    return [finding('aescbc-reads', { where, why: `${formatReader(reader)} is still read.` })];
  }
  if (kind === 'identity') {
    return [
      finding('identity-kept', { where, why: 'identity still reads: plaintext in etcd is taken as it is.' }),
    ];
  }
  return [];
}

/** Values under the reader's key in every resource whose rule has it; undefined without an inventory. */
function storedUnder(
  reader: Reader,
  rules: ReadersByRule,
  inventory: Inventory | undefined,
): number | undefined {
  if (inventory === undefined) return undefined;
  const resources = [...new Set(inventory.map(({ resource }) => resource))];
  return resources
    .filter((resource) =>
      rules
        .get(ruleFor(rules, resource) ?? '')
        ?.some(({ material, kind }) => kind === reader.kind && material === reader.material),
    )
    .reduce((sum, resource) => sum + countOf(inventory, resource, reader), 0);
}
