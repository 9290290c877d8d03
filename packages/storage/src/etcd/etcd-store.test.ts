/** Goal: the client store keeps the whole contract on a real etcd, without and with TLS. Method: the contract suite. */
import { after, before, describe } from 'node:test';
import { storeContract } from '../contract/suite.js';
import { createTestAuthority } from '../testing/certificates.js';
import { startEtcdCluster, type EtcdCluster } from '../testing/etcd-cluster.js';
import { openEtcdStore } from './etcd-store.js';

// Two servers of their own, so the suites may run beside each other; most of their time is waiting.
describe('without and with TLS', { concurrency: 2 }, () => {
  describe('etcd', { concurrency: 1 }, () => {
    let cluster: EtcdCluster;
    before(async () => {
      cluster = await startEtcdCluster();
    });
    after(() => cluster.stop());
    storeContract('etcd', () => open(cluster));
  });

  describe('etcd over TLS', { concurrency: 1 }, () => {
    let cluster: EtcdCluster;
    before(async () => {
      cluster = await startEtcdCluster({ authority: await createTestAuthority() });
    });
    after(() => cluster.stop());
    storeContract('etcd over TLS', () => open(cluster));
  });
});

function open({ endpoints, tls }: EtcdCluster): ReturnType<typeof openEtcdStore> {
  return openEtcdStore({ endpoints, tls, dialTimeoutMs: 10_000, requestTimeoutMs: 10_000 });
}
