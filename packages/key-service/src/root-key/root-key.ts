/**
 * The root key at start: made for an empty store, proven against the canary of any other.
 *
 * The canary is a known text sealed by the root key. Without it a wrong root key would only show at the first Decrypt,
 * after new keys had already been sealed under it.
 */
import { timingSafeEqual } from 'node:crypto';
import type { Store } from '@waxseal/storage';
import { KeyServiceError } from '../errors.js';
import { isJsonObject } from '../http/json-body.js';
import { KEYS_PREFIX, ROOT_KEY_RECORD } from '../keys/store-keys.js';
import { prefixRangeEnd } from '@waxseal/storage';
import { openUnderRootKey, sealUnderRootKey } from './material-seal.js';
import { ROOT_KEY_BYTES, type RootKeyProtector } from './protector.js';

const CANARY_LABEL = 'canary';
const CANARY = Buffer.from('waxseal root key canary');

interface RootKeyRecord {
  readonly version: 1;
  readonly protector: string;
  readonly sealed: string;
  readonly canary: string;
}

/** @throws KeyServiceError root-key-missing, root-key-wrong, root-key-unreadable, store-corrupt */
export async function openRootKey(
  store: Store,
  protector: RootKeyProtector,
  randomBytes: (size: number) => Buffer,
): Promise<Buffer> {
  const { kv } = await store.get(ROOT_KEY_RECORD);
  if (kv !== undefined) return proveRootKey(parseRecord(kv.value), protector);

  const keys = await store.range({
    key: KEYS_PREFIX,
    rangeEnd: prefixRangeEnd(KEYS_PREFIX),
    limit: 1,
    keysOnly: true,
  });
  if (keys.count > 0) {
    throw new KeyServiceError(
      'store-corrupt',
      'The store holds keys but no root key record. Restore the whole store from a backup: part of it is missing.',
    );
  }
  const { rootKey, sealed } = await protector.create();
  checkLength(rootKey);
  const record: RootKeyRecord = {
    version: 1,
    protector: protector.kind,
    sealed: sealed.toString('base64'),
    canary: sealUnderRootKey(rootKey, CANARY_LABEL, CANARY, randomBytes).toString('base64'),
  };
  const { succeeded } = await store.txn({
    compare: [{ key: ROOT_KEY_RECORD, target: 'createRevision', result: 'equal', number: 0 }],
    success: [{ kind: 'put', key: ROOT_KEY_RECORD, value: Buffer.from(JSON.stringify(record)) }],
    failure: [],
  });
  // Another replica was first: its root key counts, and ours must be the same.
  return succeeded ? rootKey : openRootKey(store, protector, randomBytes);
}

async function proveRootKey(record: RootKeyRecord, protector: RootKeyProtector): Promise<Buffer> {
  if (record.protector !== protector.kind) {
    throw new KeyServiceError(
      'root-key-wrong',
      `The root key of this store is kept by the protector '${record.protector}', but the service was started with '${protector.kind}'. Start it with '${record.protector}'.`,
    );
  }
  const rootKey = await protector.open(Buffer.from(record.sealed, 'base64'));
  checkLength(rootKey);
  const canary = openUnderRootKey(rootKey, CANARY_LABEL, Buffer.from(record.canary, 'base64'));
  if (canary === undefined || canary.length !== CANARY.length || !timingSafeEqual(canary, CANARY)) {
    throw new KeyServiceError(
      'root-key-wrong',
      'The root key is not the one that sealed the keys in this store. Start with the root key that belongs to this data, or with the data that belongs to this root key.',
    );
  }
  return rootKey;
}

function checkLength(rootKey: Buffer): void {
  if (rootKey.length !== ROOT_KEY_BYTES) {
    throw new KeyServiceError(
      'root-key-unreadable',
      `A root key has ${ROOT_KEY_BYTES} bytes, not ${rootKey.length}.`,
    );
  }
}

function parseRecord(value: Buffer): RootKeyRecord {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value.toString('utf8'));
  } catch {
    parsed = undefined;
  }
  if (
    isJsonObject(parsed) &&
    parsed['version'] === 1 &&
    typeof parsed['protector'] === 'string' &&
    typeof parsed['sealed'] === 'string' &&
    typeof parsed['canary'] === 'string'
  ) {
    const { protector, sealed, canary } = parsed;
    return { version: 1, protector, sealed, canary };
  }
  throw new KeyServiceError(
    'store-corrupt',
    'The root key record of the store cannot be read. Restore the store from a backup.',
  );
}
