/** What frees space in an etcd cluster: compaction until it is done on disk, then defragmentation, one member after the other. */
import { KVService, MaintenanceService } from '../gen/etcd/rpc.js';
import { StoreError } from '../store.js';
import { EtcdConnection, type ConnectionOptions } from './connection.js';

/**
 * Compacts the history below `revision`, then writes the database file of every member anew. A member answers nothing while its file is
 * written; `requestTimeoutMs` is the time for that.
 *
 * @param options `endpoints` names every member; the others keep their files
 * @throws StoreError
 */
export async function shrinkEtcd(
  options: ConnectionOptions,
  revision: number,
  onMember?: (endpoint: string) => void,
): Promise<void> {
  await withMembers(options, async (connection) => {
    await connection.dial();
    const { header } = await connection.unary(MaintenanceService.status, {}, 'idempotent');
    try {
      // Physical: it answers when the revisions are gone from the file, not when that is planned.
      const wire = { revision: BigInt(Math.min(revision, Number(header?.revision ?? 0n))), physical: true };
      await connection.unary(KVService.compact, wire, 'write');
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'compacted') throw error;
    }
  });
  for (const endpoint of options.endpoints) {
    onMember?.(endpoint);
    await withMembers({ ...options, endpoints: [endpoint] }, async (connection) => {
      await connection.dial();
      await connection.unary(MaintenanceService.defragment, {}, 'write');
    });
  }
}

async function withMembers(
  options: ConnectionOptions,
  use: (connection: EtcdConnection) => Promise<void>,
): Promise<void> {
  const connection = new EtcdConnection(options);
  try {
    await use(connection);
  } finally {
    await connection.close();
  }
}
