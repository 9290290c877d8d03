/**
 * Every key, alias and grant in memory, as of a revision.
 *
 * Reads never touch the store. Two writers keep the cache true: the process's own transactions as they commit, and the
 * store's watch, which also brings what other replicas write. Both carry revisions, and the higher one wins, so their
 * order does not matter; a deletion leaves a tombstone until the watch has passed it.
 */
import type { KeyValue } from '@waxseal/storage';
import { type CustomKeyStoreRecord, parseCustomKeyStores } from '../custom-key-stores/record.js';
import { type AliasRecord, allMaterials, type KeyRecord, parseAliasRecord } from './key-record.js';
import { GrantIndex } from './grant-index.js';
import { type GrantRecord, parseGrantRecord } from './grant-record.js';
import { SortedNames } from './sorted-names.js';
import { CUSTOM_KEY_STORES, recordKind, scopeName } from './store-keys.js';
import { StoredKey, unreadable } from './stored-key.js';

/** A record with what belongs to exactly this version of it. */
export interface KeyEntry {
  readonly kind: 'key';
  readonly record: KeyRecord;
  readonly modRevision: number;
}

export interface AliasEntry {
  readonly kind: 'alias';
  readonly record: AliasRecord;
  readonly modRevision: number;
}

interface GrantEntry {
  readonly kind: 'grant';
  readonly record: GrantRecord;
  readonly modRevision: number;
}

export interface CustomKeyStoresEntry {
  readonly kind: 'custom-key-stores';
  readonly record: readonly CustomKeyStoreRecord[];
  readonly modRevision: number;
}

type LiveEntry = StoredKey | AliasEntry | GrantEntry | CustomKeyStoresEntry;
type Entry = LiveEntry | { readonly kind: 'deleted'; readonly modRevision: number };

/** One account in one region. */
class Scope {
  readonly keyIds = new SortedNames();
  readonly aliasNames = new SortedNames();
  /** Alias names by the key they point to. */
  readonly aliasesOfKey = new Map<string, SortedNames>();
}

/** As when the record was never written: its revision is 0. */
const NO_CUSTOM_KEY_STORES: CustomKeyStoresEntry = { kind: 'custom-key-stores', record: [], modRevision: 0 };

export class RecordCache {
  readonly #entries = new Map<string, Entry>();
  readonly #scopes = new Map<string, Scope>();
  readonly grants = new GrantIndex();
  /** Called with every change of the custom key stores, here or by another replica. */
  onCustomKeyStores: ((records: readonly CustomKeyStoreRecord[]) => void) | undefined;
  readonly #onMaterialGone: (key: KeyRecord) => void;

  /** @param onMaterialGone called when a key leaves the cache or loses imported material, so that it can be forgotten */
  constructor(onMaterialGone: (key: KeyRecord) => void) {
    this.#onMaterialGone = onMaterialGone;
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  key(storeKey: string): KeyEntry | undefined {
    const entry = this.#entries.get(storeKey);
    return entry?.kind === 'key' ? entry : undefined;
  }

  alias(storeKey: string): AliasEntry | undefined {
    const entry = this.#entries.get(storeKey);
    return entry?.kind === 'alias' ? entry : undefined;
  }

  customKeyStores(): CustomKeyStoresEntry {
    const entry = this.#entries.get(CUSTOM_KEY_STORES.toString());
    return entry?.kind === 'custom-key-stores' ? entry : NO_CUSTOM_KEY_STORES;
  }

  scope(accountId: string, region: string): Scope {
    return this.scopeOf(scopeName(accountId, region));
  }

  private scopeOf(name: string): Scope {
    let scope = this.#scopes.get(name);
    if (scope === undefined) {
      scope = new Scope();
      this.#scopes.set(name, scope);
    }
    return scope;
  }

  *keys(): Iterable<StoredKey> {
    for (const entry of this.#entries.values()) if (entry.kind === 'key') yield entry;
  }

  /**
   * Takes a stored value in, unless something newer is known already.
   *
   * @throws KeyServiceError store-corrupt
   */
  put(kv: Pick<KeyValue, 'key' | 'value' | 'modRevision'>): void {
    this.take(kv, true);
  }

  /** As put, while everything is loaded: a key is parsed when it is first used, and only then found to be unreadable. */
  load(kv: Pick<KeyValue, 'key' | 'value' | 'modRevision'>): void {
    this.take(kv, false);
  }

  private take(kv: Pick<KeyValue, 'key' | 'value' | 'modRevision'>, parse: boolean): void {
    const storeKey = kv.key.toString();
    const before = this.#entries.get(storeKey);
    if (before !== undefined && before.modRevision >= kv.modRevision) return;
    const kind = recordKind(storeKey);
    if (kind === undefined) return;
    const entry = parseEntry(kind, storeKey, kv);
    if (entry === undefined) throw unreadable(storeKey);
    if (parse && entry.kind === 'key') entry.parse();
    this.unindex(before);
    if (before?.kind === 'key' && entry.kind === 'key' && hasLostMaterial(before.record, entry.record)) {
      this.#onMaterialGone(before.record);
    }
    this.#entries.set(storeKey, entry);
    this.index(entry);
  }

  delete(storeKey: string, revision: number): void {
    const before = this.#entries.get(storeKey);
    if (before !== undefined && before.modRevision >= revision) return;
    this.unindex(before);
    if (before?.kind === 'key') this.#onMaterialGone(before.record);
    this.#entries.set(storeKey, { kind: 'deleted', modRevision: revision });
  }

  /** After a fresh load as of `revision`: what it did not bring, and nothing newer wrote, is gone. */
  retain(known: ReadonlySet<string>, revision: number): void {
    for (const [storeKey, entry] of this.#entries) {
      if (known.has(storeKey) || entry.modRevision > revision) continue;
      this.unindex(entry);
      if (entry.kind === 'key') this.#onMaterialGone(entry.record);
      this.#entries.delete(storeKey);
    }
  }

  /** The watch has reported everything up to `revision`: tombstones up to it have done their work. */
  forgetTombstones(storeKeys: Iterable<string>, revision: number): void {
    for (const storeKey of storeKeys) {
      const entry = this.#entries.get(storeKey);
      if (entry?.kind === 'deleted' && entry.modRevision <= revision) this.#entries.delete(storeKey);
    }
  }

  private index(entry: LiveEntry): void {
    if (entry.kind === 'custom-key-stores') {
      this.onCustomKeyStores?.(entry.record);
      return;
    }
    if (entry.kind === 'grant') {
      this.grants.add(entry.record);
      return;
    }
    if (entry.kind === 'key') {
      const { scope, keyId } = entry.name;
      this.scopeOf(scope).keyIds.add(keyId);
      return;
    }
    const { accountId, region, aliasName, targetKeyId } = entry.record;
    const scope = this.scope(accountId, region);
    scope.aliasNames.add(aliasName);
    let names = scope.aliasesOfKey.get(targetKeyId);
    if (names === undefined) scope.aliasesOfKey.set(targetKeyId, (names = new SortedNames()));
    names.add(aliasName);
  }

  private unindex(entry: Entry | undefined): void {
    if (entry === undefined || entry.kind === 'deleted' || entry.kind === 'custom-key-stores') return;
    if (entry.kind === 'grant') {
      this.grants.delete(entry.record);
      return;
    }
    if (entry.kind === 'key') {
      const { scope, keyId } = entry.name;
      this.scopeOf(scope).keyIds.delete(keyId);
      return;
    }
    const { accountId, region, aliasName, targetKeyId } = entry.record;
    const scope = this.scope(accountId, region);
    scope.aliasNames.delete(aliasName);
    const names = scope.aliasesOfKey.get(targetKeyId);
    names?.delete(aliasName);
    if (names?.size === 0) scope.aliasesOfKey.delete(targetKeyId);
  }
}

function hasLostMaterial(before: KeyRecord, after: KeyRecord): boolean {
  const kept = new Set(
    allMaterials(after).flatMap(({ materialId, sealed }) => (sealed === undefined ? [] : [materialId])),
  );
  return allMaterials(before).some(({ materialId, sealed }) => sealed !== undefined && !kept.has(materialId));
}

function parseEntry(
  kind: LiveEntry['kind'],
  storeKey: string,
  { value, modRevision }: Pick<KeyValue, 'value' | 'modRevision'>,
): LiveEntry | undefined {
  if (kind === 'key') return new StoredKey(storeKey, value, modRevision);
  if (kind === 'grant') {
    const record = parseGrantRecord(value);
    return record && { kind, record, modRevision };
  }
  if (kind === 'custom-key-stores') {
    const record = parseCustomKeyStores(value);
    return record && { kind, record, modRevision };
  }
  const record = parseAliasRecord(value);
  return record && { kind, record, modRevision };
}
