/**
 * KMS v2 values whose keyID or annotations were changed in storage and that open all the same: nothing authenticates these fields, and
 * a KMS may not look at them, or not be asked. An API server writes a wrapped DEK with one keyID and one set of annotations only, so values that
 * share it are the witnesses.
 */
import { decodeEncryptedObject, type EncryptedObject } from '@waxseal/envelope';
import type { StoredValueKind } from '../stored-value.js';
import { bodyOf } from './prefix-damage.js';

interface FramedValue {
  /** The storage key. */
  readonly key: string;
  readonly kind: StoredValueKind;
  readonly group: string;
  readonly order: number;
}

interface ChangedFrame extends FramedValue {
  /** One sentence. */
  readonly message: string;
}

interface ChangedFrames {
  /** Every value of the source once; those that are not KMS v2 are passed over. */
  seen(value: FramedValue, stored: Buffer): void;
  /** With all values seen: the ones that stand against the others of their wrapped DEK. */
  changed(): readonly ChangedFrame[];
}

/** What the values of one wrapped DEK say beside it; more than one of these is a change. */
interface Variant {
  /** As it stood at the end of the first value: equal bytes need no parsing. */
  readonly end: Buffer;
  readonly words: string;
  readonly keyId: string;
  count: number;
  values: readonly FramedValue[];
}

/** Damage hits single values; what so many have in common was written so. */
const CHANGED_MAX = 8;
/** Of so many wrapped DEKs the values are compared. */
const SOURCES_MAX = 10_000;
/** And so many changed ones are kept beside: whoever can write to etcd shall not fill the memory, and each value is held against all of them. */
const CHANGED_VARIANTS_MAX = 1_000;

export function createChangedFrames(): ChangedFrames {
  const sources = new Map<string, Variant[]>();
  let variantsLeft = CHANGED_VARIANTS_MAX;
  return {
    seen(value, stored) {
      const { provider, kmsName = '', dekSource, problem } = value.kind;
      if (provider !== 'kms-v2' || dekSource === undefined || problem !== undefined) return;
      const id = `${kmsName}:${dekSource}`;
      const variants = sources.get(id) ?? [];
      if (variants.length === 0) {
        if (sources.size >= SOURCES_MAX) return;
        sources.set(id, variants);
      }
      const same = variants.find(({ end }) => endsWith(stored, end)) ?? variantOf(variants, stored);
      if (!variants.includes(same)) {
        if (variants.length > 0 && variantsLeft-- <= 0) return;
        variants.push(same);
      }
      same.count++;
      if (same.count <= CHANGED_MAX) same.values = [...same.values, value];
      else same.values = [];
    },
    changed: () => [...sources.values()].flatMap(changedOf),
  };
}

/** The one of the same words, or a new one. */
function variantOf(variants: readonly Variant[], stored: Buffer): Variant {
  const body = bodyOf(stored);
  const object = decodeEncryptedObject(body);
  const words = wordsOf(object);
  // Writers may order annotations as they like.
  const known = variants.find((variant) => variant.words === words);
  if (known !== undefined) return known;
  const { encryptedData, keyId } = object;
  const end = body.subarray(encryptedData.byteOffset - body.byteOffset + encryptedData.length);
  return { end: Buffer.from(end), words, keyId, count: 0, values: [] };
}

function wordsOf({ keyId, annotations, encryptedDekSourceType }: EncryptedObject): string {
  const sorted = Object.entries(annotations)
    .map(([name, value]) => [name, value.toString('base64')])
    .toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1));
  return JSON.stringify([keyId, encryptedDekSourceType, sorted]);
}

function changedOf(variants: readonly Variant[]): readonly ChangedFrame[] {
  const [most, ...others] = variants.toSorted((a, b) => b.count - a.count);
  // Of two that are as many, nobody knows which was changed.
  if (most === undefined || most.count === others[0]?.count) return [];
  return others.flatMap(({ keyId, values }) => {
    const [what, advice] =
      keyId === most.keyId
        ? ['its annotations are not those', 'copy the object and write it anew']
        : [`its keyID ${JSON.stringify(keyId.slice(0, 200))} is not that`, 'waxseal rewrap writes it anew'];
    const message = `${what} of the ${most.count} other values with the same wrapped DEK, so bytes of it were changed; while it opens, ${advice}`;
    return values.map((value) => ({ ...value, message }));
  });
}

const endsWith = (stored: Buffer, end: Buffer): boolean =>
  stored.length >= end.length && stored.compare(end, 0, end.length, stored.length - end.length) === 0;
