/** Where the key service's records lie in its Store. docs/formats/key-service-store.md. */

const ROOT = '/waxseal/key-service/v1';

/** Everything the key service keeps, as a backup takes it. */
export const ALL_PREFIX = Buffer.from(`${ROOT}/`);
export const ROOT_KEY_RECORD = Buffer.from(`${ROOT}/root-key`);
export const AUDIT_SIGNING_KEY = Buffer.from(`${ROOT}/audit-signing-key`);
/** Everything the cache mirrors: keys, aliases and grants. */
export const RECORDS_PREFIX = Buffer.from(`${ROOT}/records/`);
export const KEYS_PREFIX = Buffer.from(`${ROOT}/records/keys/`);
/** All custom key stores, in one value. */
export const CUSTOM_KEY_STORES = Buffer.from(`${ROOT}/records/custom-key-stores`);
/** Keys of tokens that may have no record any more. Not in a backup: they are about the tokens as they are now. */
export const UNCLAIMED_TOKEN_KEYS = Buffer.from('/waxseal/key-service/unclaimed-token-keys/');
/** Written by every change of a record, when there are replicas. Among the records, so that their watch brings it. */
export const LAST_CHANGE = Buffer.from(`${ROOT}/records/last-change`);
/** Not in a backup: it is about the audit folder as it is now. */
export const AUDIT_HEADS = Buffer.from('/waxseal/key-service/audit-heads');
/** While a backup is being restored; no service starts on such a store. */
export const RESTORE_UNDER_WAY = Buffer.from('/waxseal/key-service/restore-under-way');
/** Not among what a backup takes: it belongs to a running process. */
export const LIFECYCLE_LEADER = Buffer.from('/waxseal/key-service/lifecycle-leader');

/** Outside the records: written often, read seldom, not kept in memory. */
export const LAST_USAGE_START = Buffer.from(`${ROOT}/last-usage-start`);
const LAST_USAGE = `${ROOT}/last-usage/`;

const CUSTOM_KEY_STORES_NAME = CUSTOM_KEY_STORES.toString();
/** What the service did by itself and has not recorded yet. */
export const EVENTS_PREFIX = Buffer.from(`${ROOT}/events/`);

const KEY = `${ROOT}/records/keys/`;
const ALIAS = `${ROOT}/records/aliases/`;
const GRANT = `${ROOT}/records/grants/`;
const GRANT_NAME = `${ROOT}/records/grant-names/`;

export function keyRecordName(accountId: string, region: string, keyId: string): string {
  return `${KEY}${accountId}/${region}/${keyId}`;
}

/** What keyRecordName was given, its account and region as scopeName puts them. */
export function keyOfRecordName(name: string): { readonly scope: string; readonly keyId: string } {
  const end = name.lastIndexOf('/');
  return { scope: name.slice(KEY.length, end), keyId: name.slice(end + 1) };
}

/** One account in one region. */
export function scopeName(accountId: string, region: string): string {
  return `${accountId}/${region}`;
}

export function keyRecordKey(accountId: string, region: string, keyId: string): Buffer {
  return Buffer.from(keyRecordName(accountId, region, keyId));
}

export function lastUsageRecordKey(accountId: string, region: string, keyId: string): Buffer {
  return Buffer.from(`${LAST_USAGE}${accountId}/${region}/${keyId}`);
}

export function eventKey(eventId: string): Buffer {
  return Buffer.from(`${ROOT}/events/${eventId}`);
}

/** @param aliasName with its `alias/` prefix */
export function aliasRecordName(accountId: string, region: string, aliasName: string): string {
  return `${ALIAS}${accountId}/${region}/${aliasName}`;
}

/** @param aliasName with its `alias/` prefix */
export function aliasRecordKey(accountId: string, region: string, aliasName: string): Buffer {
  return Buffer.from(aliasRecordName(accountId, region, aliasName));
}

/** Every grant of a key begins with this. */
export function grantsPrefix(accountId: string, region: string, keyId: string): Buffer {
  return Buffer.from(`${GRANT}${accountId}/${region}/${keyId}/`);
}

export function grantRecordName(accountId: string, region: string, keyId: string, grantId: string): string {
  return `${GRANT}${accountId}/${region}/${keyId}/${grantId}`;
}

/** Every name of a grant of the key begins with this. */
export function grantNamesPrefix(accountId: string, region: string, keyId: string): Buffer {
  return Buffer.from(`${GRANT_NAME}${accountId}/${region}/${keyId}/`);
}

export function recordKind(storeKey: string): 'key' | 'alias' | 'grant' | 'custom-key-stores' | undefined {
  if (storeKey.startsWith(KEY)) return 'key';
  if (storeKey === CUSTOM_KEY_STORES_NAME) return 'custom-key-stores';
  if (storeKey.startsWith(GRANT)) return 'grant';
  return storeKey.startsWith(ALIAS) ? 'alias' : undefined;
}
