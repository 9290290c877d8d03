/** Where a record lies in the store, and what a transaction asks of it. */
import type { Compare } from '@waxseal/storage';
import { type GrantRecord, grantTwinDigest } from './grant-record.js';
import type { KeyRecord } from './key-record.js';
import type { KeyEntry } from './record-cache.js';
import { grantNamesPrefix, grantRecordName, keyRecordKey } from './store-keys.js';

export function storeKeyOf({ accountId, region, keyId }: KeyRecord): Buffer {
  return keyRecordKey(accountId, region, keyId);
}

export function unchanged({ record, modRevision }: KeyEntry): Compare {
  return { key: storeKeyOf(record), target: 'modRevision', result: 'equal', number: modRevision };
}

export function absent(record: KeyRecord): Compare {
  return { key: storeKeyOf(record), target: 'createRevision', result: 'equal', number: 0 };
}

export function grantKeyOf({
  accountId,
  region,
  keyId,
  grantId,
}: Pick<GrantRecord, 'accountId' | 'region' | 'keyId' | 'grantId'>): Buffer {
  return Buffer.from(grantRecordName(accountId, region, keyId, grantId));
}

/** Undefined for a grant without a name. */
export function grantNameKeyOf(grant: GrantRecord): Buffer | undefined {
  if (grant.name === undefined) return undefined;
  const prefix = grantNamesPrefix(grant.accountId, grant.region, grant.keyId);
  return Buffer.concat([prefix, Buffer.from(grantTwinDigest(grant))]);
}
