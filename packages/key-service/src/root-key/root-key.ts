/**
 * The root key at start: made for an empty store, proven against the canary of any other; and its move to another protector.
 *
 * The canary is a known text sealed by the root key. Without it a wrong root key would only show at the first Decrypt,
 * after new keys had already been sealed under it.
 */
import { timingSafeEqual } from 'node:crypto';
import { prefixRangeEnd, type Store, StoreError } from '@waxseal/storage';
import { KeyServiceError } from '../errors.js';
import { isJsonObject } from '../http/json-body.js';
import { KEYS_PREFIX, RESTORE_UNDER_WAY, ROOT_KEY_RECORD } from '../keys/store-keys.js';
import { openUnderRootKey, sealUnderRootKey } from './material-seal.js';
import { ROOT_KEY_BYTES, type RootKeyProtector } from './protector.js';

const CANARY_LABEL = 'canary';
const CANARY = Buffer.from('waxseal root key canary');

export interface RootKeyRecord {
  readonly version: 1;
  readonly protector: string;
  readonly sealed: string;
  readonly canary: string;
}

/** The first one keeps the root key of an empty store; any of them opens a store whose record names its kind. */
export type RootKeyProtectors = readonly [RootKeyProtector, ...RootKeyProtector[]];

/** @throws KeyServiceError root-key-missing, root-key-wrong, root-key-unreadable, store-corrupt */
export async function openRootKey(
  store: Store,
  protectors: RootKeyProtectors,
  randomBytes: (size: number) => Buffer,
): Promise<Buffer> {
  const { kv } = await store.get(ROOT_KEY_RECORD);
  if (kv !== undefined) {
    const record = parseRootKeyRecord(kv.value);
    const rootKey = await proveRootKey(record, protectors);
    await discardOthers(record.protector, protectors, rootKey);
    return rootKey;
  }

  if ((await store.get(RESTORE_UNDER_WAY)).kv !== undefined) {
    throw new KeyServiceError(
      'store-corrupt',
      'A restore into this store was cut short: it holds a part of the backup only. Restore again; what is there is replaced.',
    );
  }
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
  const [protector] = protectors;
  const rootKey = (await protector.prepared?.()) ?? Buffer.from(randomBytes(ROOT_KEY_BYTES));
  checkLength(rootKey);
  const record = await sealRecord(rootKey, protector, randomBytes);
  const { succeeded } = await store.txn({
    compare: [{ key: ROOT_KEY_RECORD, target: 'createRevision', result: 'equal', number: 0 }],
    success: [{ kind: 'put', key: ROOT_KEY_RECORD, value: record }],
    failure: [],
  });
  // Another replica was first: its root key counts, and ours must be the same.
  return succeeded ? rootKey : openRootKey(store, protectors, randomBytes);
}

/**
 * Moves the root key to another protector. The root key itself, and everything sealed under it, stays as it is, so that a
 * running service goes on. One write of the store is the moment of change: a crash leaves the old protector or the new one.
 *
 * @param rootKey as openRootKey gave it
 * @param present protectors as at start: what the old one left outside the store is removed
 * @throws KeyServiceError what the protector throws; store-corrupt when another reseal was faster
 */
export async function resealRootKey(
  store: Store,
  rootKey: Buffer,
  to: RootKeyProtector,
  present: readonly RootKeyProtector[],
  randomBytes: (size: number) => Buffer,
): Promise<void> {
  const { kv } = await store.get(ROOT_KEY_RECORD);
  if (kv === undefined) {
    throw new KeyServiceError(
      'root-key-missing',
      'The store has no root key yet. Start the key service once first.',
    );
  }
  const value = await sealRecord(rootKey, to, randomBytes);
  // What was just written must open before the old way is given up.
  const opened = await proveRootKey(parseRootKeyRecord(value), [to]);
  opened.fill(0);
  const { succeeded, revision } = await store.txn({
    compare: [{ key: ROOT_KEY_RECORD, target: 'modRevision', result: 'equal', number: kv.modRevision }],
    success: [{ kind: 'put', key: ROOT_KEY_RECORD, value }],
    failure: [],
  });
  if (!succeeded) {
    throw new KeyServiceError(
      'store-corrupt',
      'The root key was resealed by another process meanwhile. Look, and try again.',
    );
  }
  await discardOthers(to.kind, present, rootKey);
  // The history still holds the root key under the old protector.
  await store.compact(revision).catch((error: unknown) => {
    if (!(error instanceof StoreError && error.code === 'compacted')) throw error;
  });
}

/** The kind of protector a store's root key is kept by; undefined for an empty store. */
export async function rootKeyProtectorOf(store: Store): Promise<string | undefined> {
  const { kv } = await store.get(ROOT_KEY_RECORD);
  return kv === undefined ? undefined : parseRootKeyRecord(kv.value).protector;
}

/** @throws KeyServiceError root-key-missing, root-key-wrong, root-key-unreadable */
export async function proveRootKey(
  record: RootKeyRecord,
  protectors: readonly RootKeyProtector[],
): Promise<Buffer> {
  const protector = protectors.find(({ kind }) => kind === record.protector);
  if (protector === undefined) {
    const given = protectors.map(({ kind }) => `'${kind}'`).join(', ');
    throw new KeyServiceError(
      'root-key-wrong',
      `The root key of this store is kept by the protector '${record.protector}', but the service was started with ${given}. Start it with '${record.protector}'.`,
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

async function sealRecord(
  rootKey: Buffer,
  protector: RootKeyProtector,
  randomBytes: (size: number) => Buffer,
): Promise<Buffer> {
  const record: RootKeyRecord = {
    version: 1,
    protector: protector.kind,
    sealed: (await protector.seal(rootKey)).toString('base64'),
    canary: sealUnderRootKey(rootKey, CANARY_LABEL, CANARY, randomBytes).toString('base64'),
  };
  return Buffer.from(JSON.stringify(record));
}

/** A reseal that a crash cut short is finished at the next start. */
async function discardOthers(
  kind: string,
  protectors: readonly RootKeyProtector[],
  rootKey: Buffer,
): Promise<void> {
  for (const protector of protectors) if (protector.kind !== kind) await protector.discard?.(rootKey);
}

function checkLength(rootKey: Buffer): void {
  if (rootKey.length !== ROOT_KEY_BYTES) {
    throw new KeyServiceError(
      'root-key-unreadable',
      `A root key has ${ROOT_KEY_BYTES} bytes, not ${rootKey.length}.`,
    );
  }
}

/** @throws KeyServiceError store-corrupt */
export function parseRootKeyRecord(value: Buffer): RootKeyRecord {
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
