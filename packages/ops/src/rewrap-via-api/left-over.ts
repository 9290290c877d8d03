/**
 * The proof after a run through an API server: what of the resources lies in etcd otherwise than the server writes now. How it writes is told without a
 * key, by the newest value of each resource, and by the first provider of the EncryptionConfiguration when there is one.
 */
import {
  type EncryptionConfiguration,
  formatGroupResource,
  parseGroupResource,
  rulesFor,
} from '@waxseal/encryption-config';
import { isStatic, type Reader, readersByRule, readersFor } from '../lint/readers.js';
import { registryRecords } from '../registry-table.js';
import type { ScanGroup, ScanResult } from '../scan/scan.js';

/** How the values of one resource lie. */
export interface WrittenGroup {
  readonly resource: string;
  readonly provider: ScanGroup['provider'];
  /** As `waxseal scan` names it. */
  readonly key: string;
  readonly count: number;
  /** Written otherwise than the server writes now. */
  readonly left: boolean;
}

/**
 * @param resources as in `resources` of an EncryptionConfiguration, wildcards too
 * @param config a valid one; absent: the newest value of a resource says how it is written
 */
export function leftOver(
  { groups }: ScanResult,
  resources: readonly string[],
  config: EncryptionConfiguration | undefined,
): readonly WrittenGroup[] {
  const wanted = new Set(resources.map((rule) => formatGroupResource(parseGroupResource(rule))));
  const readers = config === undefined ? undefined : readersByRule(config);
  const byResource = new Map<string, ScanGroup[]>();
  for (const group of groups) {
    const covered = rulesFor(parseGroupResource(group.resource)).some((rule) => wanted.has(rule));
    if (covered && !isNoResource(group))
      byResource.set(group.resource, [...(byResource.get(group.resource) ?? []), group]);
  }
  return [...byResource].flatMap(([resource, own]) => {
    const writer = readers === undefined ? undefined : readersFor(readers, resource)[0];
    const [newest] = own
      .filter((group) => writer === undefined || isBy(group, writer))
      .toSorted((a, b) => b.newestRevision - a.newestRevision);
    return own.map((group) => {
      const { provider, key, count } = group;
      return { resource, provider, key, count, left: group !== newest };
    });
  });
}

/** What is no object's, and the records that kube-apiserver keeps in plaintext whatever the configuration says. */
function isNoResource({ resource, provider }: ScanGroup): boolean {
  if (resource.startsWith('(')) return true;
  return provider === 'identity' && registryRecords.some(({ path }) => path === resource);
}

function isBy({ provider, key, kmsName }: ScanGroup, writer: Reader): boolean {
  return (
    provider === writer.kind &&
    (writer.kind === 'identity' || (isStatic(writer) ? key : kmsName) === writer.name)
  );
}
