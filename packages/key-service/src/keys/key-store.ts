/**
 * Keys and aliases over a Store: read from memory, written by compare-and-swap.
 *
 * The store must be the key service's own: after a key is destroyed its history is compacted, which would cut another
 * user's watches short.
 */
import { type Compare, prefixRangeEnd, type Op, type Store, StoreError } from '@waxseal/storage';
import type { Logger } from 'pino';
import { AwsError } from '../aws-error.js';
import { type CustomKeyStoreRecord, serializeCustomKeyStores } from '../custom-key-stores/record.js';
import type { GrantIndex } from './grant-index.js';
import { type GrantRecord, serializeGrant } from './grant-record.js';
import { type AliasRecord, arnOf, type KeyRecord, serializeRecord } from './key-record.js';
import { parseKeyReference } from './key-id.js';
import { familyRegions } from './multi-region.js';
import { type KeyEntry, RecordCache } from './record-cache.js';
import { RecordFeed } from './record-feed.js';
import type { SortedNames } from './sorted-names.js';
import { absent, grantKeyOf, grantNameKeyOf, storeKeyOf, unchanged } from './record-keys.js';
import { markChanges, type RecordStore, ReplicaBarrier } from './replica-barrier.js';
import {
  aliasRecordKey,
  aliasRecordName,
  CUSTOM_KEY_STORES,
  grantNamesPrefix,
  grantsPrefix,
  keyRecordKey,
  keyRecordName,
  RECORDS_PREFIX,
} from './store-keys.js';

/** A change that lost this many races in a row is answered with an error; each loss means another change won. */
const MAX_ATTEMPTS = 16;

/** Returns the changed record, the same record when nothing changes; may throw AwsError to give up. */
export type KeyChange = (record: KeyRecord) => KeyRecord;

/**
 * As KeyChange, for a whole family of multi-Region keys, or the one key that has none. `family` begins with the key itself.
 * Returns every record that shall exist: changed, the same, or new in another Region. What is not returned is left alone.
 */
export type FamilyChange = (family: readonly KeyRecord[]) => readonly KeyRecord[];

/** What else becomes true in the same transaction, given the family before it and the records that change. */
export type Alongside = (before: readonly KeyRecord[], changed: readonly KeyRecord[]) => readonly Op[];

const NOTHING: Alongside = () => [];

export class KeyStore {
  readonly #store: RecordStore;
  readonly #cache: RecordCache;
  readonly #feed: RecordFeed;
  /** Absent: this process alone writes to the store. */
  readonly #barrier: ReplicaBarrier | undefined;

  private constructor(store: Store, logger: Logger, cache: RecordCache, replicas: boolean) {
    this.#store = replicas ? markChanges(store) : store;
    this.#cache = cache;
    this.#barrier = replicas ? new ReplicaBarrier(store) : undefined;
    this.#feed = new RecordFeed(store, logger, cache, this.#barrier);
  }

  /**
   * Loads every record and follows the store from there.
   *
   * @param onKeyGone called when a key is destroyed, here or by another replica
   * @param replicas true when other processes write to the store too
   * @throws KeyServiceError store-corrupt; StoreError
   */
  static async open(
    store: Store,
    logger: Logger,
    onKeyGone: (key: KeyRecord) => void,
    replicas = false,
  ): Promise<KeyStore> {
    const keys = new KeyStore(store, logger, new RecordCache(onKeyGone), replicas);
    await keys.#feed.load();
    return keys;
  }

  /**
   * Before a call is decided: resolves when every change answered by another replica is known here; undefined when that is so
   * already, because there are none. @throws StoreError unavailable, timeout
   */
  catchUp(): Promise<void> | undefined {
    return this.#barrier?.pass();
  }

  findKey(accountId: string, region: string, keyId: string): KeyRecord | undefined {
    return this.#cache.key(keyRecordName(accountId, region, keyId))?.record;
  }

  /** Every key of the family that is known here, the key itself first; a single-Region key alone. */
  familyOf(key: KeyRecord): readonly KeyRecord[] {
    return [
      key,
      ...familyRegions(key)
        .slice(1)
        .flatMap((region) => this.findKey(key.accountId, region, key.keyId) ?? []),
    ];
  }

  /** Undefined for whatever is not the ARN of a key. */
  findByArn(keyArn: string): KeyRecord | undefined {
    const reference = parseKeyReference(keyArn);
    if (reference.kind !== 'key' || reference.scope === undefined) return undefined;
    return this.findKey(reference.scope.accountId, reference.scope.region, reference.keyId);
  }

  findAlias(accountId: string, region: string, aliasName: string): AliasRecord | undefined {
    return this.#cache.alias(aliasRecordName(accountId, region, aliasName))?.record;
  }

  keyIds(accountId: string, region: string): SortedNames {
    return this.#cache.scope(accountId, region).keyIds;
  }

  aliasNames(accountId: string, region: string): SortedNames {
    return this.#cache.scope(accountId, region).aliasNames;
  }

  /** Undefined when no alias points to the key. */
  aliasesOfKey({ accountId, region, keyId }: KeyRecord): SortedNames | undefined {
    return this.#cache.scope(accountId, region).aliasesOfKey.get(keyId);
  }

  /** Counted when asked for: metrics are, rarely. */
  countKeys(): number {
    let count = 0;
    for (const _ of this.#cache.keys()) count++;
    return count;
  }

  *all(): Iterable<KeyRecord> {
    for (const { record } of this.#cache.keys()) yield record;
  }

  /** Every key to which something may happen by date; the others are not even parsed for the question. */
  *dated(): Iterable<KeyRecord> {
    for (const entry of this.#cache.keys()) if (entry.mayBecomeDue) yield entry.record;
  }

  /** False when a key of that id exists already in its account and region. */
  async createKey(record: KeyRecord): Promise<boolean> {
    return this.putNew(keyRecordKey(record.accountId, record.region, record.keyId), serializeRecord(record));
  }

  /**
   * @returns the record as it is now stored
   * @throws AwsError what `change` throws; NotFoundException when the key is gone; ConflictException
   */
  async updateKey(key: KeyRecord, change: KeyChange): Promise<KeyRecord> {
    const storeKey = keyRecordKey(key.accountId, key.region, key.keyId);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const entry = this.#cache.key(storeKey.toString());
      if (entry === undefined) throw new AwsError('NotFoundException', `Key '${key.keyId}' does not exist`);
      const changed = change(entry.record);
      if (changed === entry.record) return entry.record;
      const value = serializeRecord(changed);
      const { succeeded, revision } = await this.#store.txn({
        compare: [{ key: storeKey, target: 'modRevision', result: 'equal', number: entry.modRevision }],
        success: [{ kind: 'put', key: storeKey, value }],
        failure: [],
      });
      if (succeeded) {
        this.#cache.put({ key: storeKey, value, modRevision: revision });
        return this.#cache.key(storeKey.toString())?.record ?? changed;
      }
      await this.refresh(storeKey);
    }
    throw new AwsError('ConflictException', 'The key is being changed by other requests. Try again.');
  }

  /**
   * Changes what the keys of a family share, in one transaction.
   *
   * @returns the family as it is now stored, the key itself first
   * @throws AwsError what `change` throws; NotFoundException when the key is gone; AlreadyExistsException when a new record's
   *   key exists outside the family; ConflictException
   */
  async updateFamily(
    key: KeyRecord,
    change: FamilyChange,
    alongside: Alongside = NOTHING,
  ): Promise<readonly KeyRecord[]> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const family = await this.familyEntries(key);
      const records = family.map(({ record }) => record);
      const changed = change(records).filter((record) => !records.includes(record));
      if (changed.length === 0) return records;
      const added = changed.filter((one) => !records.some(({ region }) => region === one.region));
      const puts = changed.map((record) => ({ key: storeKeyOf(record), value: serializeRecord(record) }));
      const { succeeded, revision } = await this.#store.txn({
        compare: [...family.map(unchanged), ...added.map(absent)],
        success: [...puts.map((put): Op => ({ kind: 'put', ...put })), ...alongside(records, changed)],
        failure: [],
      });
      if (succeeded) {
        for (const put of puts) this.#cache.put({ ...put, modRevision: revision });
        return (await this.familyEntries(key)).map(({ record }) => record);
      }
      for (const { record } of family) await this.refresh(storeKeyOf(record));
      for (const record of added) await this.refresh(storeKeyOf(record));
      const taken = added.find(({ accountId, region, keyId }) => this.findKey(accountId, region, keyId));
      if (taken !== undefined) {
        throw new AwsError('AlreadyExistsException', `The key ${arnOf(taken)} already exists`);
      }
    }
    throw new AwsError('ConflictException', 'The key is being changed by other requests. Try again.');
  }

  /**
   * Deletes the key and its aliases, then the history that still holds its sealed material.
   *
   * @param others given the key's family, what becomes of the other members
   * @returns false when another change was faster, or the key was gone before
   */
  async destroyKey(
    key: KeyRecord,
    others: FamilyChange = () => [],
    alongside: Alongside = NOTHING,
  ): Promise<boolean> {
    const storeKey = storeKeyOf(key);
    if (this.#cache.key(storeKey.toString()) === undefined) return false;
    const family = await this.familyEntries(key);
    const records = family.map(({ record }) => record);
    const changed = others(records).filter((record) => !records.includes(record));
    const aliases = this.aliasesOfKey(key)?.after(undefined, Number.POSITIVE_INFINITY) ?? [];
    const deleted = [
      storeKey,
      ...aliases.map((aliasName) => aliasRecordKey(key.accountId, key.region, aliasName)),
    ];
    const grants = grantsPrefix(key.accountId, key.region, key.keyId);
    const grantNames = grantNamesPrefix(key.accountId, key.region, key.keyId);
    const puts = changed.map((record) => ({ key: storeKeyOf(record), value: serializeRecord(record) }));
    const { succeeded, revision } = await this.#store.txn({
      compare: family.map(unchanged),
      success: [
        ...deleted.map((one): Op => ({ kind: 'delete', key: one })),
        { kind: 'delete', key: grants, rangeEnd: prefixRangeEnd(grants) },
        { kind: 'delete', key: grantNames, rangeEnd: prefixRangeEnd(grantNames) },
        ...puts.map((put): Op => ({ kind: 'put', ...put })),
        ...alongside(records, changed),
      ],
      failure: [],
    });
    if (!succeeded) {
      for (const { record } of family) await this.refresh(storeKeyOf(record));
      return false;
    }
    for (const one of deleted) this.forget(one, revision);
    for (const grant of this.#cache.grants.ofKey(key).values()) this.forget(grantKeyOf(grant), revision);
    for (const put of puts) this.#cache.put({ ...put, modRevision: revision });
    await this.eraseHistory(revision);
    return true;
  }

  /** Removes what the store still keeps of earlier records, sealed material that is deleted among it. */
  async eraseHistory(revision?: number): Promise<void> {
    const upTo = revision ?? (await this.#store.get(RECORDS_PREFIX)).revision;
    await this.#store.compact(upTo).catch((error: unknown) => {
      // Another replica compacted further already: the history is gone either way.
      if (!(error instanceof StoreError && error.code === 'compacted')) throw error;
    });
  }

  /** False when the alias exists already. */
  async createAlias(record: AliasRecord): Promise<boolean> {
    const { accountId, region, aliasName } = record;
    return this.putNew(aliasRecordKey(accountId, region, aliasName), serializeRecord(record));
  }

  /** False when there is no such alias. The last of two racing updates wins. */
  async updateAlias(record: AliasRecord): Promise<boolean> {
    const storeKey = aliasRecordKey(record.accountId, record.region, record.aliasName);
    const value = serializeRecord(record);
    const { succeeded, revision } = await this.#store.txn({
      compare: [{ key: storeKey, target: 'createRevision', result: 'greater', number: 0 }],
      success: [{ kind: 'put', key: storeKey, value }],
      failure: [],
    });
    if (succeeded) this.#cache.put({ key: storeKey, value, modRevision: revision });
    return succeeded;
  }

  /** False when there is no such alias. */
  async deleteAlias({ accountId, region, aliasName }: AliasRecord): Promise<boolean> {
    return this.deletePresent(aliasRecordKey(accountId, region, aliasName));
  }

  get grants(): Pick<GrantIndex, 'ofKey' | 'ofGrantee' | 'ofRetiringPrincipal'> {
    return this.#cache.grants;
  }

  /**
   * A named grant is made once, also when several replicas are asked for it at the same time: its name is a record of its own, written
   * in the same transaction.
   *
   * @returns the grant, or its twin: the one that has the same name and the same parameters
   * @throws AwsError ConflictException
   */
  async createGrant(grant: GrantRecord): Promise<GrantRecord> {
    const storeKey = grantKeyOf(grant);
    const value = serializeGrant(grant);
    const name = grantNameKeyOf(grant);
    const puts: Op[] = [{ kind: 'put', key: storeKey, value }];
    if (name !== undefined) puts.push({ kind: 'put', key: name, value: Buffer.from(grant.grantId) });
    let knownName = 0;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const compare: Compare[] = [{ key: storeKey, target: 'createRevision', result: 'equal', number: 0 }];
      if (name !== undefined) {
        compare.push({ key: name, target: 'modRevision', result: 'equal', number: knownName });
      }
      const { succeeded, revision } = await this.#store.txn({ compare, success: puts, failure: [] });
      if (succeeded) {
        this.#cache.put({ key: storeKey, value, modRevision: revision });
        return grant;
      }
      if (name === undefined) break;
      const { kv } = await this.#store.get(name);
      const twin = kv && (await this.fetchGrant({ ...grant, grantId: kv.value.toString() }));
      if (twin !== undefined) return twin;
      // A name whose grant is gone is free.
      knownName = kv?.modRevision ?? 0;
    }
    throw new AwsError('ConflictException', 'The grant is being made by other requests. Try again.');
  }

  /** False when there is no such grant. */
  async deleteGrant(grant: GrantRecord): Promise<boolean> {
    return this.deletePresent(grantKeyOf(grant), grantNameKeyOf(grant));
  }

  /** The grant itself, also when another replica has just made it and the watch has not brought it yet. */
  async fetchGrant(
    name: Pick<GrantRecord, 'accountId' | 'region' | 'keyId' | 'grantId'>,
  ): Promise<GrantRecord | undefined> {
    const known = this.#cache.grants.ofKey(name).get(name.grantId);
    if (known !== undefined) return known;
    await this.refresh(grantKeyOf(name));
    return this.#cache.grants.ofKey(name).get(name.grantId);
  }

  /** Those of every account. */
  get customKeyStores(): readonly CustomKeyStoreRecord[] {
    return this.#cache.customKeyStores().record;
  }

  /** `listener` is called at once, and with every change from then on, here or by another replica. */
  followCustomKeyStores(listener: (records: readonly CustomKeyStoreRecord[]) => void): void {
    this.#cache.onCustomKeyStores = listener;
    listener(this.customKeyStores);
  }

  /** @throws AwsError what `change` throws; ConflictException */
  async updateCustomKeyStores(
    change: (records: readonly CustomKeyStoreRecord[]) => readonly CustomKeyStoreRecord[],
  ): Promise<void> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const { record, modRevision } = this.#cache.customKeyStores();
      const changed = change(record);
      if (changed === record) return;
      const value = serializeCustomKeyStores(changed);
      const { succeeded, revision } = await this.#store.txn({
        compare: [{ key: CUSTOM_KEY_STORES, target: 'modRevision', result: 'equal', number: modRevision }],
        success: [{ kind: 'put', key: CUSTOM_KEY_STORES, value }],
        failure: [],
      });
      if (succeeded) {
        this.#cache.put({ key: CUSTOM_KEY_STORES, value, modRevision: revision });
        return;
      }
      await this.refresh(CUSTOM_KEY_STORES);
    }
    throw new AwsError(
      'ConflictException',
      'Custom key stores are being changed by other requests. Try again.',
    );
  }

  /** Stops following the store; the store itself stays open. */
  close(): void {
    this.#feed.close();
  }

  private async putNew(storeKey: Buffer, value: Buffer): Promise<boolean> {
    const { succeeded, revision } = await this.#store.txn({
      compare: [{ key: storeKey, target: 'createRevision', result: 'equal', number: 0 }],
      success: [{ kind: 'put', key: storeKey, value }],
      failure: [],
    });
    if (succeeded) this.#cache.put({ key: storeKey, value, modRevision: revision });
    return succeeded;
  }

  /** The key itself first. A member the watch has not brought yet is read from the store. */
  private async familyEntries(key: KeyRecord): Promise<readonly KeyEntry[]> {
    const own = this.#cache.key(storeKeyOf(key).toString());
    if (own === undefined) throw new AwsError('NotFoundException', `Key '${arnOf(key)}' does not exist`);
    const entries: KeyEntry[] = [own];
    for (const region of familyRegions(own.record).slice(1)) {
      const storeKey = keyRecordKey(key.accountId, region, key.keyId);
      if (this.#cache.key(storeKey.toString()) === undefined) await this.refresh(storeKey);
      const entry = this.#cache.key(storeKey.toString());
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }

  /** @param along goes with it, whether it is there or not */
  private async deletePresent(storeKey: Buffer, along?: Buffer): Promise<boolean> {
    const deleted = along === undefined ? [storeKey] : [storeKey, along];
    const { succeeded, revision } = await this.#store.txn({
      compare: [{ key: storeKey, target: 'createRevision', result: 'greater', number: 0 }],
      success: deleted.map((key): Op => ({ kind: 'delete', key })),
      failure: [],
    });
    if (succeeded) this.forget(storeKey, revision);
    return succeeded;
  }

  private forget(storeKey: Buffer, revision: number): void {
    this.#cache.delete(storeKey.toString(), revision);
  }

  /** Brings one record up to date after a lost race, without waiting for the watch. */
  private async refresh(storeKey: Buffer): Promise<void> {
    const { kv, revision } = await this.#store.get(storeKey);
    if (kv === undefined) this.forget(storeKey, revision);
    else this.#cache.put(kv);
  }
}
