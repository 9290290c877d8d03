/** The embedded store of a data directory as a source, while no server has it open. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openLmdbStore, StoreError, type LmdbStoreOptions, type Store } from '@waxseal/storage';
import { OpsError } from '../errors.js';
import { toOpsError } from './store-reading.js';
import { storeSource } from './store-source.js';
import type { Source } from './source.js';

/** Where `waxseal up` and `waxseal apiserver` keep the objects in their data directory. */
const STORE_FOLDER = 'api';
const DATA_FILE = 'data.mdb';
/** etcd's option has the same name. */
const ETCD_MEMBER_FILE = join('member', 'snap', 'db');
/** While a store is only looked at no lease ends, so nothing is deleted. */
const stoppedClock: NonNullable<LmdbStoreOptions['clock']> = {
  now: () => 0,
  setTimer: () => () => undefined,
};

/** Where a data directory keeps the API server's objects. */
export interface StoreFolder {
  readonly folder: string;
  readonly dataFile: string;
}

/**
 * @param path a data directory of `waxseal up` or `waxseal apiserver`, or the store's own folder
 * @throws OpsError source-unreadable
 */
export function storeFolderOf(path: string): StoreFolder {
  const folder = [path, join(path, STORE_FOLDER)].find((candidate) => existsSync(join(candidate, DATA_FILE)));
  // Opening would make an empty store where none is.
  if (folder === undefined) {
    const hint = existsSync(join(path, ETCD_MEMBER_FILE))
      ? `It is the folder of an etcd member: stop that, and name --snapshot ${join(path, ETCD_MEMBER_FILE)}; waxseal residue takes it as --data-dir-etcd.`
      : 'Name the --data-dir of waxseal up or waxseal apiserver.';
    throw new OpsError('source-unreadable', `${path} holds no store. ${hint}`);
  }
  return { folder, dataFile: join(folder, DATA_FILE) };
}

/**
 * @param path a data directory of `waxseal up` or `waxseal apiserver`, or the store's own folder
 * @throws OpsError source-unreadable, also when a server has it open; source-damaged
 */
export async function openDataDirSource(path: string): Promise<Source> {
  const name = `data directory ${path}`;
  const { folder } = storeFolderOf(path);
  let store: Store;
  try {
    store = await openLmdbStore({ path: folder, clock: stoppedClock });
  } catch (error) {
    if (error instanceof StoreError && error.code === 'in-use') {
      throw new OpsError(
        'source-unreadable',
        `${path} is in use by a server. Read it through that server: --etcd with the etcd address that waxseal up printed, or stop the server first.`,
        error,
      );
    }
    throw toOpsError(name, error);
  }
  try {
    return await storeSource(name, store);
  } catch (error) {
    await store.close();
    throw error;
  }
}
