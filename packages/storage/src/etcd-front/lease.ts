/** etcd's Lease service over a Store. */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { toGrpcFailure } from '../etcd/errors.js';
import type { EtcdLogger } from '../etcd/logger.js';
import type { LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseServer } from '../gen/etcd/rpc.js';
import type { Store } from '../store.js';
import { header } from './header.js';
import { unary } from './unary.js';

export function leaseService(store: Store, logger: EtcdLogger | undefined): LeaseServer {
  const now = async () => header((await store.status()).revision);
  return {
    leaseGrant: unary(async (request) => {
      const { id, ttlSeconds } = await store.leaseGrant(Number(request.TTL), request.ID);
      return { header: await now(), ID: id, TTL: BigInt(ttlSeconds), error: '' };
    }, logger),

    leaseRevoke: unary(async (request) => {
      await store.leaseRevoke(request.ID);
      return { header: await now() };
    }, logger),

    leaseKeepAlive: (call) => {
      void keepAlive(store, call);
    },

    leaseTimeToLive: unary(async (request) => {
      const lease = await store.leaseTimeToLive(request.ID, request.keys);
      return {
        header: await now(),
        ID: request.ID,
        TTL: BigInt(lease.ttlSeconds),
        grantedTTL: BigInt(lease.grantedTtlSeconds),
        keys: [...lease.keys],
      };
    }, logger),

    leaseLeases: unary(async () => {
      const leases = (await store.leases()).map((id) => ({ ID: id }));
      return { header: await now(), leases };
    }, logger),
  };
}

/** One renewal at a time per stream, answered in the order of the requests. */
async function keepAlive(
  store: Store,
  call: ServerDuplexStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>,
): Promise<void> {
  try {
    for await (const request of call as AsyncIterable<LeaseKeepAliveRequest>) {
      // Read before the renewal: the revision must not be newer than a revocation it did not see.
      const { revision } = await store.status();
      const ttlSeconds = await store.leaseKeepAlive(request.ID);
      const answer = { header: header(revision), ID: request.ID, TTL: BigInt(ttlSeconds) };
      await new Promise<void>((resolve, reject) => {
        call.write(answer, (error: Error | null | undefined) => {
          if (error) reject(error);
          else resolve();
        });
      });
    }
    call.end();
  } catch (error) {
    if (!call.cancelled && !call.destroyed) call.emit('error', toGrpcFailure(error));
  }
}
