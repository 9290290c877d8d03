/**
 * Goal: nothing of the Store contract is lost on the way through the etcd API. Method: the contract suite on the etcd
 * client store, talking to the front, over LMDB, without and with TLS.
 */
import { after, before, describe } from 'node:test';
import { storeContract, type StoreTraits } from '../contract/suite.js';
import { openEtcdStore } from '../etcd/etcd-store.js';
import { createTestAuthority, type KeyPairPem, type TestAuthority } from '../testing/certificates.js';
import { MAX_LMDB_KEY_BYTES } from '../lmdb/table.js';
import type { Store } from '../store.js';
import { startLmdbFront, type LmdbFront } from '../testing/lmdb-front.js';

const traits: StoreTraits = { maxKeyBytes: MAX_LMDB_KEY_BYTES - 10 };

// Two servers of their own, so the suites may run beside each other; most of their time is waiting.
describe('without and with TLS', { concurrency: 2 }, () => {
  describe('etcd front', { concurrency: 1 }, () => {
    const served = serveLmdb();
    storeContract('etcd front', () => served.connect(), traits);
  });

  describe('etcd front over TLS', { concurrency: 1 }, () => {
    const served = serveLmdb({ tls: true });
    storeContract('etcd front over TLS', () => served.connect(), traits);
  });
});

/** One front for the whole suite; every test connects anew. */
function serveLmdb({ tls = false } = {}): { connect(): Promise<Store> } {
  let served: LmdbFront;
  let authority: TestAuthority | undefined;
  let client: KeyPairPem | undefined;
  before(async () => {
    authority = tls ? await createTestAuthority() : undefined;
    client = await authority?.client('test');
    const server = await authority?.server();
    served = await startLmdbFront({ tls: server && { ...server, clientCa: authority?.ca } });
  });
  after(() => served.stop());
  return {
    connect: () =>
      openEtcdStore({
        endpoints: [served.front.endpoint],
        tls: client && { ca: authority?.ca, ...client },
        dialTimeoutMs: 10_000,
        requestTimeoutMs: 10_000,
      }),
  };
}
