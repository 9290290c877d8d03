/**
 * etcd's Maintenance service over a Store.
 *
 * Hash and HashKV compare the members of a cluster byte by byte; there is one member, and the Store's bytes are not
 * etcd's, so they are not served. Defragment succeeds without doing anything: the stores reuse their free pages.
 */
import { status, type ServerWritableStream } from '@grpc/grpc-js';
import { RefusedRequest, toGrpcFailure } from '../etcd/errors.js';
import type { EtcdLogger } from '../etcd/logger.js';
import {
  AlarmRequest_AlarmAction as AlarmAction,
  type MaintenanceServer,
  type SnapshotRequest,
  type SnapshotResponse,
} from '../gen/etcd/rpc.js';
import type { Store } from '../store.js';
import { header, memberId, raftTerm } from './header.js';
import { streamSnapshot } from './snapshot-stream.js';
import { unary } from './unary.js';

/** The etcd release whose behaviour the front follows. Clients switch features on by it: progress requests need 3.5.13. */
const servedVersion = '3.5.30';

export function maintenanceService(
  store: Store,
  temporaryFolder: string,
  logger: EtcdLogger | undefined,
): MaintenanceServer {
  const now = async () => header((await store.status()).revision);
  return {
    status: unary(async () => {
      const { revision, sizeBytes, sizeInUseBytes } = await store.status();
      return {
        header: header(revision),
        version: servedVersion,
        dbSize: BigInt(sizeBytes),
        dbSizeInUse: BigInt(sizeInUseBytes),
        leader: memberId,
        raftIndex: BigInt(revision),
        raftAppliedIndex: BigInt(revision),
        raftTerm,
        errors: [],
        isLearner: false,
      };
    }, logger),

    alarm: unary(async (request) => {
      if (request.action === AlarmAction.ACTIVATE) throw unimplemented('alarms cannot be raised by hand');
      return { header: await now(), alarms: [] };
    }, logger),

    defragment: unary(async () => ({ header: await now() }), logger),
    hash: unary(() => Promise.reject(unimplemented('Hash compares members, and there is one')), logger),
    hashKv: unary(() => Promise.reject(unimplemented('HashKV compares members, and there is one')), logger),

    snapshot: (call: ServerWritableStream<SnapshotRequest, SnapshotResponse>) => {
      streamSnapshot(store, temporaryFolder, call).then(
        () => call.end(),
        (error: unknown) => {
          logger?.warn({ error: String(error) }, 'etcd snapshot failed');
          if (!call.cancelled && !call.destroyed) call.emit('error', toGrpcFailure(error));
        },
      );
    },
  };
}

function unimplemented(why: string): RefusedRequest {
  return new RefusedRequest({ code: status.UNIMPLEMENTED, details: `etcdserver: ${why}` });
}
