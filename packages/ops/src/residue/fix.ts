/** What takes history and free pages away: compaction and defragmentation of an etcd cluster, a new file of the embedded store. */
import {
  shrinkEtcd,
  shrinkLmdbStore,
  type ShrinkResult,
  type ShrinkStep,
  type ShrunkStore,
  StoreError,
} from '@waxseal/storage';
import { OpsError } from '../errors.js';
import { storeFolderOf } from '../sources/data-dir-source.js';
import type { EtcdSourceOptions } from '../sources/etcd-source.js';

/** etcd's own words; what a reader of keys would be told to do about them is of no use here. */
const PERMISSION_DENIED = 'permission denied';
const DIAL_TIMEOUT_MS = 5_000;
/** A member deletes what is compacted, and writes its whole database file: each may take so long. */
const REQUEST_TIMEOUT_MS = 10 * 60_000;

export type ResidueFix =
  | ({ readonly kind: 'etcd' } & ShrinkResult)
  | ({ readonly kind: 'data-dir'; readonly path: string } & ShrunkStore);

export interface FixEtcdOptions extends EtcdSourceOptions {
  /** Takes NOSPACE alarms off afterwards. */
  readonly disarm?: boolean;
  readonly onStep?: (step: ShrinkStep) => void;
}

/**
 * Compacts up to `revision`, waits until every member that is named has deleted what is before it, then defragments them, one after the
 * other, the leader last. A member answers nobody while its file is written.
 *
 * @throws OpsError source-unreadable, also when a member does not answer: then nothing was done
 */
export async function fixEtcd(options: FixEtcdOptions, revision: number): Promise<ResidueFix> {
  const { dialTimeoutMs = DIAL_TIMEOUT_MS, requestTimeoutMs = REQUEST_TIMEOUT_MS, ...rest } = options;
  const shrinking = shrinkEtcd({ ...rest, dialTimeoutMs, requestTimeoutMs }, revision);
  return {
    kind: 'etcd',
    ...(await fixed(shrinking, `etcd ${options.endpoints.join(',')} was not defragmented to the end`)),
  };
}

/**
 * Compacts the whole history of the embedded store and puts a new file of what is live in place of the old one.
 *
 * @param path a data directory of `waxseal up` or `waxseal apiserver`, or the store's own folder
 * @throws OpsError source-unreadable, also when a server has it open; source-damaged
 */
export async function fixDataDir(path: string): Promise<ResidueFix> {
  const { folder, dataFile } = storeFolderOf(path);
  return {
    kind: 'data-dir',
    path: dataFile,
    ...(await fixed(shrinkLmdbStore(folder), `${dataFile} was not written anew`)),
  };
}

async function fixed<T>(work: Promise<T>, otherwise: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.message.includes(PERMISSION_DENIED)) {
      const advice =
        'compaction and defragmentation are for users with the role root (etcdctl user grant-role NAME root)';
      throw new OpsError('source-unreadable', `${otherwise}: ${PERMISSION_DENIED}; ${advice}.`, error);
    }
    const code = error.code === 'corrupt' ? 'source-damaged' : 'source-unreadable';
    throw new OpsError(code, `${otherwise}: ${error.message}`, error);
  }
}
