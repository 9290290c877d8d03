/** etcd's Cluster service: a cluster of one, whose membership cannot be changed. */
import type { EtcdLogger } from '../etcd/logger.js';
import type { ClusterServer } from '../gen/etcd/rpc.js';
import type { Store } from '../store.js';
import { header, memberId } from './header.js';
import { unary } from './unary.js';

export function clusterService(
  store: Store,
  endpoint: () => string,
  logger: EtcdLogger | undefined,
): ClusterServer {
  return {
    memberList: unary(async () => {
      const { revision } = await store.status();
      return {
        header: header(revision),
        members: [
          { ID: memberId, name: 'waxseal', peerURLs: [], clientURLs: [endpoint()], isLearner: false },
        ],
      };
    }, logger),
  };
}
