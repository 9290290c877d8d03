export * from './store.js';
export { openEtcdStore, type EtcdStoreOptions } from './etcd/etcd-store.js';
export type { EtcdLogger } from './etcd/logger.js';
export { startEtcdFront, type EtcdFront, type EtcdFrontOptions } from './etcd-front/server.js';
export type { ListenAddress } from './etcd-front/listener.js';
export { openLmdbStore, type LmdbStoreOptions } from './lmdb/open.js';
export type { Clock } from './lmdb/clock.js';
