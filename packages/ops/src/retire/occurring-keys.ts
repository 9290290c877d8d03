/**
 * Which keys occur at all, and which of them a name that occurs nowhere may have meant: a key that was never used and one that is misspelt
 * look the same to whoever only looks for it.
 */
import { editDistance } from './edit-distance.js';
import type { KeyReference } from './key-reference.js';
import type { KeyUses } from './key-uses.js';

export interface OccurringKey {
  readonly provider: KeyUses['provider'];
  /** As `StoredValueKind.key`. */
  readonly key: string;
  readonly kmsName?: string;
  /** Values, live, older and in backups. */
  readonly count: number;
}

/** Keys that can be told, each once, by provider and name; plaintext is under none. */
export function occurringKeys(uses: readonly KeyUses[]): readonly OccurringKey[] {
  const keys = new Map<string, OccurringKey>();
  for (const { provider, key, kmsName, count } of uses) {
    if (provider === 'identity' || provider === 'unknown' || key === '') continue;
    const id = JSON.stringify([provider, key, kmsName]);
    const name = kmsName === undefined ? {} : { kmsName };
    keys.set(id, { provider, key, ...name, count: count + (keys.get(id)?.count ?? 0) });
  }
  return [...keys.values()].toSorted((a, b) => compare(a.provider, b.provider) || compare(a.key, b.key));
}

/** What was meant, as `--key` takes it, the likeliest first. */
const SUGGESTIONS_MAX = 3;

export function nearKeys(
  { name, providers }: KeyReference,
  keys: readonly OccurringKey[],
): readonly string[] {
  const rated = keys.flatMap(({ provider, key, kmsName }) =>
    [...new Set([key, kmsName ?? key])].map((candidate) => ({
      text: `${provider}:${candidate}`,
      distance: distanceOf(name, candidate),
      isOther: providers?.includes(provider) === false,
    })),
  );
  const near = rated.filter(({ distance }) => distance !== undefined);
  const texts = near
    .toSorted((a, b) => (a.distance ?? 0) - (b.distance ?? 0) || Number(a.isOther) - Number(b.isOther))
    .map(({ text }) => text);
  return [...new Set(texts)].slice(0, SUGGESTIONS_MAX);
}

/** Undefined: too far to have been meant. */
function distanceOf(wished: string, candidate: string): number | undefined {
  const [one, other] = [wished.toLowerCase(), candidate.toLowerCase()];
  // The same name of another provider; a key's id for its ARN, its URL for its id.
  if (one === other || isEndOf(one, other) || isEndOf(other, one)) return 0;
  const distance = editDistance(one, other);
  return distance <= Math.ceil(Math.min(one.length, other.length) / 4) ? distance : undefined;
}

const isEndOf = (short: string, long: string): boolean =>
  long.endsWith(`/${short}`) || long.endsWith(`:${short}`);

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
