/**
 * etcd's Auth service as a server without users answers it: clients are told apart by their certificates, and a password
 * is refused with the error that makes etcd's own clients go on without one.
 */
import { etcdErrors, grpcFailure, RefusedRequest } from '../etcd/errors.js';
import type { EtcdLogger } from '../etcd/logger.js';
import type { AuthServer } from '../gen/etcd/rpc.js';
import type { Store } from '../store.js';
import { header } from './header.js';
import { unary } from './unary.js';

export function authService(store: Store, logger: EtcdLogger | undefined): AuthServer {
  return {
    authStatus: unary(async () => {
      const { revision } = await store.status();
      return { header: header(revision), enabled: false, authRevision: 1n };
    }, logger),
    authenticate: unary(
      () => Promise.reject(new RefusedRequest(grpcFailure(etcdErrors.authNotEnabled))),
      logger,
    ),
  };
}
