/** Compaction and defragmentation of the cluster that a source reads. */
import { shrinkEtcd } from '@waxseal/storage';
import type { EtcdSourceOptions } from '../sources/etcd-source.js';
import { readable } from '../sources/store-reading.js';

const DIAL_TIMEOUT_MS = 5_000;
/** A member writes its whole database file. */
const REQUEST_TIMEOUT_MS = 10 * 60_000;

/**
 * Takes history and free pages away: compacts up to `revision`, then defragments every endpoint, one after the other.
 *
 * @param onMember before each; it answers nobody until it is done
 * @throws OpsError source-unreadable
 */
export async function fixResidue(
  options: EtcdSourceOptions,
  revision: number,
  onMember?: (endpoint: string) => void,
): Promise<void> {
  const { dialTimeoutMs = DIAL_TIMEOUT_MS, requestTimeoutMs = REQUEST_TIMEOUT_MS, ...rest } = options;
  const connection = { ...rest, dialTimeoutMs, requestTimeoutMs };
  await readable(`etcd ${options.endpoints.join(',')}`, shrinkEtcd(connection, revision, onMember));
}
