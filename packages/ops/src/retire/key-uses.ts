/**
 * Which keys the values of one source need: a count for every key, live and in history.
 */
import { OpsError } from '../errors.js';
import type { Source, StoredKeyValue } from '../sources/source.js';
import { describeStoredValue } from '../stored-value.js';
import type { KeyUse } from './key-reference.js';

/** `live`: objects as they are. `history`: older revisions that are not compacted yet. */
type Place = 'live' | 'history';

export interface KeyUses extends KeyUse {
  readonly place: Place;
  readonly count: number;
  /** The storage keys of the first few, ascending. */
  readonly firstKeys: readonly string[];
  readonly oldestRevision: number;
  readonly newestRevision: number;
}

export interface CollectOptions {
  readonly signal?: AbortSignal;
  /** Values read so far; called now and then. */
  readonly onProgress?: (values: number) => void;
}

/** Storage keys named for each key and place. */
export const FIRST_KEYS = 10;
const PROGRESS_EVERY = 1000;
/** A KMS renames its key a few times a year; more names than this are not keys. */
const MAX_DISTINCT_KEYS = 10_000;

interface Tally {
  readonly use: KeyUse;
  readonly place: Place;
  count: number;
  firstKeys: string[];
  oldestRevision: number;
  newestRevision: number;
}

/**
 * Reads everything under the prefix once. Plaintext values are counted too, as provider `identity`. Memory grows with the number of
 * keys in use, not with values.
 *
 * @throws OpsError source-unreadable, source-damaged, interrupted
 */
export async function collectKeyUses(
  source: Source,
  prefix: Buffer,
  options: CollectOptions = {},
): Promise<readonly KeyUses[]> {
  const tallies = new Map<string, Tally>();
  let values = 0;
  const add = (place: Place, stored: StoredKeyValue): void => {
    if (++values % PROGRESS_EVERY === 0) {
      if (options.signal?.aborted === true) throw new OpsError('interrupted', `${source.name}: interrupted`);
      options.onProgress?.(values);
    }
    count(tallies, place, stored, source.name);
  };
  for await (const stored of source.live(prefix)) add('live', stored);
  for await (const stored of source.past(prefix)) add('history', stored);
  options.onProgress?.(values);
  return [...tallies.values()].map(({ use, ...rest }) => ({ ...use, ...rest }));
}

function count(tallies: Map<string, Tally>, place: Place, stored: StoredKeyValue, sourceName: string): void {
  const { provider, key, kmsName } = describeStoredValue(stored.value);
  const id = JSON.stringify([place, provider, key, kmsName]);
  const storageKey = stored.key.toString('utf8');
  const tally = tallies.get(id);
  if (tally === undefined) {
    if (tallies.size >= MAX_DISTINCT_KEYS) {
      throw new OpsError('source-damaged', `${sourceName}: names more than ${MAX_DISTINCT_KEYS} keys`);
    }
    tallies.set(id, {
      use: { provider, key, ...(kmsName === undefined ? {} : { kmsName }) },
      place,
      count: 1,
      firstKeys: [storageKey],
      oldestRevision: stored.modRevision,
      newestRevision: stored.modRevision,
    });
    return;
  }
  tally.count++;
  tally.oldestRevision = Math.min(tally.oldestRevision, stored.modRevision);
  tally.newestRevision = Math.max(tally.newestRevision, stored.modRevision);
  const last = tally.firstKeys.at(-1) ?? '';
  if (tally.firstKeys.length >= FIRST_KEYS && storageKey >= last) return;
  // One object has many revisions; files come in order of revision.
  if (tally.firstKeys.includes(storageKey)) return;
  tally.firstKeys = [...tally.firstKeys, storageKey].toSorted().slice(0, FIRST_KEYS);
}
