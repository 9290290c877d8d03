/**
 * What each key was last used for, and when: kept in memory call by call, written to the store now and then.
 *
 * A write for every Decrypt would cost more than the Decrypt. So a key's last use is stored within a minute when it was unused for
 * an hour before, and at shutdown; after a crash GetKeyLastUsage may therefore name a use up to an hour older than the last one,
 * never none at all for a key that was used longer ago. The audit log knows every call. docs/formats/key-service-store.md.
 */
import { type Op, type Store, StoreError } from '@waxseal/storage';
import type { Logger } from 'pino';
import { isJsonObject } from '../http/json-body.js';
import { parseKeyReference } from './key-id.js';
import { arnOf, type KeyRecord } from './key-record.js';
import { lastUsageRecordKey, LAST_USAGE_START } from './store-keys.js';

export interface KeyUse {
  /** As KeyLastUsageData names it: `Encrypt`. */
  readonly operation: string;
  readonly dateMs: number;
  /** CloudTrail's eventID of the call. */
  readonly eventId: string;
  readonly requestId: string;
}

interface TrackedUse {
  last: KeyUse;
  /** Of what the store has; 0: not known. */
  storedDateMs: number;
}

const STORE_AGAIN_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** etcd refuses transactions of more than 128 operations unless it is set up otherwise. */
const MAX_PUTS = 100;
const RECORD_VERSION = 1;

export class UsageTracker {
  readonly #store: Store;
  readonly #logger: Logger;
  /** By key ARN. */
  readonly #uses = new Map<string, TrackedUse>();
  /** Uses before this date were not recorded. */
  readonly trackingStartMs: number;

  private constructor(store: Store, logger: Logger, trackingStartMs: number) {
    this.#store = store;
    this.#logger = logger;
    this.trackingStartMs = trackingStartMs;
  }

  /** Remembers in the store when tracking began. @throws StoreError */
  static async open(store: Store, now: () => number, logger: Logger): Promise<UsageTracker> {
    const value = serialize({ dateMs: now() });
    await store.txn({
      compare: [{ key: LAST_USAGE_START, target: 'createRevision', result: 'equal', number: 0 }],
      success: [{ kind: 'put', key: LAST_USAGE_START, value }],
      failure: [],
    });
    const { kv } = await store.get(LAST_USAGE_START);
    const { dateMs } = parse(kv?.value) ?? {};
    return new UsageTracker(store, logger, typeof dateMs === 'number' ? dateMs : now());
  }

  note(keyArn: string, use: KeyUse): void {
    const tracked = this.#uses.get(keyArn);
    if (tracked === undefined) this.#uses.set(keyArn, { last: use, storedDateMs: 0 });
    else if (use.dateMs >= tracked.last.dateMs) tracked.last = use;
  }

  /** The last use this process, or the store, knows of. @throws StoreError */
  async lastUse(key: KeyRecord): Promise<KeyUse | undefined> {
    const { kv } = await this.#store.get(lastUsageRecordKey(key.accountId, key.region, key.keyId));
    const stored = parseUse(kv?.value);
    const own = this.#uses.get(arnOf(key))?.last;
    if (own === undefined || stored === undefined) return own ?? stored;
    return own.dateMs >= stored.dateMs ? own : stored;
  }

  /**
   * Whole days since the key was last used; never used, since it was made or tracking began, whichever is later.
   *
   * @throws StoreError
   */
  async daysWithoutUse(key: KeyRecord, nowMs: number): Promise<number> {
    const last = await this.lastUse(key);
    const sinceMs = last?.dateMs ?? Math.max(key.creationDateMs, this.trackingStartMs);
    return Math.max(0, Math.floor((nowMs - sinceMs) / DAY_MS));
  }

  /**
   * Stores what has not been stored for an hour, or everything. Failures are logged and tried again by the next call.
   *
   * @param exists keys that are gone are forgotten
   */
  async flush(exists: (keyArn: string) => boolean, everything: boolean): Promise<void> {
    const due: (readonly [string, TrackedUse])[] = [];
    for (const [arn, tracked] of this.#uses) {
      if (!exists(arn)) this.#uses.delete(arn);
      else if (isDue(tracked, everything)) due.push([arn, tracked]);
    }
    try {
      for (let at = 0; at < due.length; at += MAX_PUTS) await this.write(due.slice(at, at + MAX_PUTS));
    } catch (error) {
      this.#logger.warn({ err: error }, 'the last uses of keys could not be stored; it is tried again');
    }
  }

  /** When the key is destroyed. @throws StoreError */
  async forget(key: KeyRecord): Promise<void> {
    this.#uses.delete(arnOf(key));
    const storeKey = lastUsageRecordKey(key.accountId, key.region, key.keyId);
    await this.#store.txn({ compare: [], success: [{ kind: 'delete', key: storeKey }], failure: [] });
  }

  private async write(uses: readonly (readonly [string, TrackedUse])[]): Promise<void> {
    const written = uses.map(([arn, tracked]) => ({ storeKey: storeKeyOf(arn), tracked, use: tracked.last }));
    const { revision } = await this.#store.txn({
      compare: [],
      success: written.flatMap(({ storeKey, use }): Op[] =>
        storeKey === undefined ? [] : [{ kind: 'put', key: storeKey, value: serialize(use) }],
      ),
      failure: [],
    });
    for (const { tracked, use } of written) tracked.storedDateMs = use.dateMs;
    // Nobody reads old uses: without this they would pile up in the store's history.
    await this.#store.compact(revision).catch((error: unknown) => {
      if (!(error instanceof StoreError && error.code === 'compacted')) throw error;
    });
  }
}

function isDue({ last, storedDateMs }: TrackedUse, everything: boolean): boolean {
  return everything ? last.dateMs !== storedDateMs : last.dateMs - storedDateMs >= STORE_AGAIN_MS;
}

function storeKeyOf(keyArn: string): Buffer | undefined {
  const reference = parseKeyReference(keyArn);
  if (reference.kind !== 'key' || reference.scope === undefined) return undefined;
  return lastUsageRecordKey(reference.scope.accountId, reference.scope.region, reference.keyId);
}

function serialize(content: object): Buffer {
  return Buffer.from(JSON.stringify({ version: RECORD_VERSION, ...content }));
}

function parse(value: Buffer | undefined): Readonly<Record<string, unknown>> | undefined {
  if (value === undefined) return undefined;
  try {
    const parsed: unknown = JSON.parse(value.toString());
    return isJsonObject(parsed) && parsed['version'] === RECORD_VERSION ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function parseUse(value: Buffer | undefined): KeyUse | undefined {
  const { operation, dateMs, eventId, requestId } = parse(value) ?? {};
  return typeof operation === 'string' &&
    typeof dateMs === 'number' &&
    typeof eventId === 'string' &&
    typeof requestId === 'string'
    ? { operation, dateMs, eventId, requestId }
    : undefined;
}
