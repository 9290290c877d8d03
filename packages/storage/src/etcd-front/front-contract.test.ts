/**
 * Goal: nothing of the Store contract is lost on the way through the etcd API. Method: the contract suite on the etcd
 * client store, talking to the front, over LMDB, without and with TLS.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { storeContract, type StoreTraits } from '../contract/suite.js';
import { openEtcdStore } from '../etcd/etcd-store.js';
import { createTestAuthority, type KeyPairPem, type TestAuthority } from '../testing/certificates.js';
import { MAX_LMDB_KEY_BYTES } from '../lmdb/table.js';
import { openLmdbStore } from '../lmdb/open.js';
import type { Store } from '../store.js';
import { startEtcdFront, type EtcdFront } from './server.js';

const traits: StoreTraits = { maxKeyBytes: MAX_LMDB_KEY_BYTES - 10 };

describe('etcd front', () => {
  const served = serveLmdb();
  storeContract('etcd front', () => served.connect(), traits);
});

describe('etcd front over TLS', () => {
  const served = serveLmdb({ tls: true });
  storeContract('etcd front over TLS', () => served.connect(), traits);
});

/** One front for the whole suite; every test connects anew. */
function serveLmdb({ tls = false } = {}): { connect(): Promise<Store> } {
  let folder: string;
  let store: Store;
  let front: EtcdFront;
  let authority: TestAuthority | undefined;
  let client: KeyPairPem | undefined;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'waxseal-front-'));
    store = await openLmdbStore({ path: join(folder, 'data') });
    authority = tls ? await createTestAuthority() : undefined;
    client = await authority?.client('test');
    const server = await authority?.server();
    front = await startEtcdFront({
      store,
      listen: { host: '127.0.0.1', port: 0 },
      tls: server && { ...server, clientCa: authority?.ca },
    });
  });
  after(async () => {
    await front.close();
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    connect: () =>
      openEtcdStore({
        endpoints: [front.endpoint],
        tls: client && { ca: authority?.ca, ...client },
        dialTimeoutMs: 10_000,
        requestTimeoutMs: 10_000,
      }),
  };
}
