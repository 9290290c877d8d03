/**
 * What a change from one EncryptionConfiguration to another makes unreadable, now or while API servers change over one by one.
 *
 * A value's prefix names its writer (provider kind and name). It stays readable when the new configuration has a reader of that prefix
 * with the same key. And while some servers have the old file, what the new writer writes must be readable by the old readers.
 */
import type { EncryptionConfiguration } from '@waxseal/encryption-config';
import { finding, type Finding, type FindingId } from './finding.js';
import { countOf, type Inventory } from './inventory.js';
import {
  formatReader,
  hasPrefixOf,
  isStatic,
  readersByRule,
  readersFor,
  type Reader,
  type ReadersByRule,
} from './readers.js';

export interface CompareOptions {
  /** Without it, every reader is taken to have values. */
  readonly inventory?: Inventory;
  /** API servers that share the storage; with one, nothing is read by a server with the old file. */
  readonly severalServers: boolean;
}

/** One thing that happens to one reader, over all resources it happens for. */
interface Change {
  readonly id: FindingId;
  readonly where: string;
  readonly why: string;
  /** The reader writes in the old configuration. */
  writes: boolean;
  readonly resources: string[];
  values: number;
}

/** Both are valid. `previous` may have no entries: nothing is encrypted. */
export function compareConfigurations(
  previous: EncryptionConfiguration,
  next: EncryptionConfiguration,
  options: CompareOptions,
): readonly Finding[] {
  const before = readersByRule(previous);
  const after = readersByRule(next);
  const changes = new Map<string, Change>();
  const note = (change: Omit<Change, 'resources' | 'values'>, resource: string, values: number): void => {
    const key = `${change.id} ${change.where}`;
    const known = changes.get(key) ?? { ...change, resources: [], values: 0 };
    known.writes ||= change.writes;
    known.resources.push(resource);
    known.values += values;
    changes.set(key, known);
  };

  for (const resource of resourcesOf(before, after, options.inventory)) {
    const old = readersFor(before, resource);
    const now = readersFor(after, resource);
    for (const [i, reader] of old.entries()) {
      // Another one of the same prefix and key earlier in the list has been looked at.
      if (old.slice(0, i).some((earlier) => readsValuesOf(earlier, reader))) continue;
      const lost = howLost(reader, now, after);
      if (lost === undefined) continue;
      const values = options.inventory === undefined ? 0 : countOf(options.inventory, resource, reader);
      note({ ...lost, where: previousPath(reader, resource), writes: i === 0 }, resource, values);
    }
    const [writer] = now;
    const [oldWriter] = old;
    if (writer === undefined || oldWriter === undefined || readsValuesOf(writer, oldWriter)) continue;
    const where = writer.where === '' ? 'resources' : writer.where;
    const unread = !old.some((reader) => readsValuesOf(reader, writer));
    if (unread && !isSameKmsElsewhere(writer, old)) {
      const why = `${formatReader(writer)} writes, and a server that still has the previous file cannot read that.`;
      note({ id: 'writer-not-read-yet', where, why, writes: true }, resource, 0);
    }
    if (hasPrefixOf(writer, oldWriter)) continue;
    const why = `${formatReader(writer)} writes instead of ${formatReader(oldWriter)}.`;
    const values = options.inventory === undefined ? 0 : countOf(options.inventory, resource, oldWriter);
    note({ id: 'writer-changed', where, why, writes: false }, resource, values);
  }
  return [...changes.values()].map((change) => toFinding(change, options));
}

function toFinding(change: Change, options: CompareOptions): Finding {
  const { id, where, why, resources } = change;
  const counted = options.inventory !== undefined && id !== 'writer-not-read-yet';
  const details = { where, why, resources, ...(counted ? { values: change.values } : {}) };
  if (id === 'writer-not-read-yet') {
    return finding(id, options.severalServers ? details : { ...details, severity: 'info' });
  }
  if (id === 'writer-changed' || id === 'kms-endpoint-changed') return finding(id, details);
  if (counted && change.values > 0) return finding(id, details);
  // Nothing is known of values, or there are none. What wrote until now may write until the last server has the new file.
  if (change.writes) {
    const lastMoment = options.severalServers || !counted;
    return finding(id, lastMoment ? details : { ...details, severity: 'warning' });
  }
  return finding(id, { ...details, severity: counted ? 'info' : 'warning' });
}

/** Named by either file, or stored. A wildcard stands for what it covers and nobody names. */
function resourcesOf(
  before: ReadersByRule,
  after: ReadersByRule,
  inventory: Inventory | undefined,
): readonly string[] {
  const stored = (inventory ?? []).map(({ resource }) => resource);
  return [...new Set([...before.keys(), ...after.keys(), ...stored])];
}

function readsValuesOf(reader: Reader, writer: Reader): boolean {
  return hasPrefixOf(reader, writer) && reader.material === writer.material;
}

/** A KMS of the same name elsewhere has a finding of its own: kms-endpoint-changed. */
function isSameKmsElsewhere(writer: Reader, old: readonly Reader[]): boolean {
  return writer.kms !== undefined && old.some((reader) => hasPrefixOf(reader, writer));
}

function previousPath({ where }: Reader, resource: string): string {
  return where === '' ? `previous: no rule for ${resource}` : `previous:${where}`;
}

/** What happens to the values of `reader`; undefined: they stay readable. */
function howLost(
  reader: Reader,
  now: readonly Reader[],
  after: ReadersByRule,
): Pick<Change, 'id' | 'why'> | undefined {
  if (now.some((other) => readsValuesOf(other, reader))) return undefined;
  const what = formatReader(reader);
  const sameName = now.find((other) => hasPrefixOf(other, reader));
  if (sameName !== undefined && isStatic(reader)) {
    return { id: 'key-secret-changed', why: `${what} has another secret now.` };
  }
  if (sameName !== undefined) {
    return { id: 'kms-endpoint-changed', why: `${what} is asked at another endpoint now.` };
  }
  const sameKey = now.find(
    ({ kind, material }) =>
      reader.kind !== 'identity' && kind === reader.kind && material === reader.material,
  );
  if (sameKey !== undefined) {
    return { id: 'key-renamed', why: `${what} is called ${JSON.stringify(sameKey.name)} now.` };
  }
  if (reader.kms !== undefined && now.some(({ kms, name }) => kms !== undefined && name === reader.name)) {
    return { id: 'kms-version-changed', why: `${what} has another apiVersion now.` };
  }
  const elsewhere = [...after.values()].flat().some((other) => readsValuesOf(other, reader));
  const why = elsewhere
    ? `${what} no longer reads these resources; it still stands in another entry.`
    : `${what} no longer reads.`;
  return { id: 'reader-removed', why };
}
