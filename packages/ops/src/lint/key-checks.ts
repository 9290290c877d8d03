/**
 * Keys that can be guessed, that are shared, or whose names do not tell them apart. Nothing of a key is ever in a finding.
 */
import {
  decodeSecret,
  type EncryptionConfiguration,
  type KeyConfiguration,
} from '@waxseal/encryption-config';
import { finding, type Finding } from './finding.js';
import { formatReader, isStatic, type Reader, readersByRule, staticKinds } from './readers.js';

/** Printed in the Kubernetes documentation, and pasted from there into clusters. */
const WELL_KNOWN_TEXTS = [
  'secret is secure',
  'this is password',
  'this is very secret',
  'abcdefghijklmnopqrstuvwxyz123456',
  '0123456789abcdef',
  '0123456789abcdef0123456789abcdef',
  '01234567890123456789012345678901',
];

/** One finding for each key at most: the worst. */
export function checkKeyMaterial(config: EncryptionConfiguration): readonly Finding[] {
  return config.resources.flatMap(({ providers }, i) =>
    providers.flatMap((provider, j) =>
      staticKinds.flatMap((kind) =>
        (provider[kind]?.keys ?? []).flatMap((key, k) =>
          checkKey(key, `resources[${i}].providers[${j}].${kind}.keys[${k}]`),
        ),
      ),
    ),
  );
}

function checkKey({ name, secret }: KeyConfiguration, path: string): readonly Finding[] {
  const bytes = decodeSecret(secret) ?? Buffer.alloc(0);
  const where = `${path}.secret`;
  const key = `key ${JSON.stringify(name)}`;
  try {
    if (isWellKnown(bytes)) {
      return [finding('key-well-known', { where, why: `${key} is an example from public documentation.` })];
    }
    const pattern = patternOf(bytes);
    if (pattern !== undefined) return [finding('key-low-entropy', { where, why: `${key} ${pattern}.` })];
    if (isText(bytes)) {
      return [finding('key-is-text', { where, why: `${key} consists of printable characters only.` })];
    }
    if (bytes.length < 32) {
      return [finding('key-short', { where, why: `${key} has ${bytes.length * 8} bits.` })];
    }
    return [];
  } finally {
    bytes.fill(0);
  }
}

function isWellKnown(bytes: Buffer): boolean {
  return WELL_KNOWN_TEXTS.some((text) => {
    const known = Buffer.from(text);
    return known.length === bytes.length && known.equals(bytes);
  });
}

/** What random bytes are not; each test fails for random keys less than once in 10^9. */
function patternOf(bytes: Buffer): string | undefined {
  const first = bytes[0] ?? 0;
  const step = ((bytes[1] ?? 0) - first) & 0xff;
  if (bytes.every((byte) => byte === first)) return 'is one byte repeated';
  if (bytes.every((byte, i) => byte === ((first + i * step) & 0xff))) return 'counts up or down';
  if (new Set(bytes).size < bytes.length / 2) return 'has few different bytes';
  const half = bytes.length / 2;
  if (bytes.subarray(0, half).equals(bytes.subarray(half))) return 'is the same half twice';
  return undefined;
}

function isText(bytes: Buffer): boolean {
  return bytes.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d);
}

/** Equal keys under two names, and one name for two keys. */
export function checkKeyNames(config: EncryptionConfiguration): readonly Finding[] {
  const rules = readersByRule(config);
  const statics = uniqueByPlace([...rules.values()].flat().filter(isStatic));
  const shared = statics.flatMap((reader, i) => {
    const twin = statics
      .slice(0, i)
      .find(
        ({ material, kind, name }) =>
          material === reader.material && (kind !== reader.kind || name !== reader.name),
      );
    if (twin === undefined) return [];
    const why = `${formatReader(reader)} is the same key as ${formatReader(twin)} at ${twin.where}.`;
    return [finding('key-shared', { where: reader.where, why })];
  });
  const repeated = new Map<string, Finding>();
  for (const [rule, readers] of rules) {
    for (const [i, reader] of readers.entries()) {
      const twin = readers.slice(0, i).find(({ kind, name }) => kind === reader.kind && name === reader.name);
      if (twin === undefined || repeated.has(reader.where)) continue;
      const same = twin.material === reader.material;
      const why = same
        ? `${formatReader(reader)} stands twice, first at ${twin.where}.`
        : `${formatReader(reader)} stands for another key than at ${twin.where}.`;
      const id = same ? 'provider-repeated' : 'key-name-repeated';
      repeated.set(reader.where, finding(id, { where: reader.where, why, resources: [rule] }));
    }
  }
  return [...shared, ...repeated.values()];
}

/** An entry for several resources has its readers once. */
function uniqueByPlace(readers: readonly Reader[]): readonly Reader[] {
  return [...new Map(readers.map((reader) => [reader.where, reader])).values()];
}
