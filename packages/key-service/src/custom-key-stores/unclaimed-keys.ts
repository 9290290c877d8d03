/**
 * Notes about keys of tokens that may have no KMS key: written before a key is made in a token and before the record of one is destroyed,
 * removed when that is done. What a process that died, or a token that was away, has left over is found by them.
 */
import { prefixRangeEnd, type Store } from '@waxseal/storage';
import { isJsonObject } from '../http/json-body.js';
import { UNCLAIMED_TOKEN_KEYS } from '../keys/store-keys.js';

export interface UnclaimedKey {
  readonly accountId: string;
  readonly region: string;
  readonly keyId: string;
  readonly customKeyStoreId: string;
  readonly clusterId: string;
  /** Until then a creation may be under way. */
  readonly notBeforeMs: number;
}

const RECORD_VERSION = 1;
/** Settled in one go; the next sweep takes the rest. */
const MAX_NOTES = 1000;

export class UnclaimedKeys {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async add(note: UnclaimedKey): Promise<void> {
    const value = Buffer.from(JSON.stringify({ version: RECORD_VERSION, ...note }));
    await this.#store.txn({
      compare: [],
      success: [{ kind: 'put', key: storeKeyOf(note), value }],
      failure: [],
    });
  }

  async remove(note: UnclaimedKey): Promise<void> {
    await this.#store.txn({
      compare: [],
      success: [{ kind: 'delete', key: storeKeyOf(note) }],
      failure: [],
    });
  }

  async all(): Promise<readonly UnclaimedKey[]> {
    const rangeEnd = prefixRangeEnd(UNCLAIMED_TOKEN_KEYS);
    const { kvs } = await this.#store.range({ key: UNCLAIMED_TOKEN_KEYS, rangeEnd, limit: MAX_NOTES });
    return kvs.flatMap(({ value }) => parse(value) ?? []);
  }
}

function storeKeyOf({ accountId, region, keyId }: UnclaimedKey): Buffer {
  return Buffer.concat([UNCLAIMED_TOKEN_KEYS, Buffer.from(`${accountId}/${region}/${keyId}`)]);
}

function parse(value: Buffer): UnclaimedKey | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value.toString('utf8'));
  } catch {
    return undefined;
  }
  if (!isJsonObject(parsed) || parsed['version'] !== RECORD_VERSION) return undefined;
  const { version: _, ...note } = parsed;
  const whole =
    ['accountId', 'region', 'keyId', 'customKeyStoreId', 'clusterId'].every(
      (name) => typeof note[name] === 'string',
    ) && typeof note['notBeforeMs'] === 'number';
  return whole ? (note as unknown as UnclaimedKey) : undefined;
}
