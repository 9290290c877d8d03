export * from './store.js';
export { openEtcdStore, type EtcdStoreOptions } from './etcd/etcd-store.js';
export type { EtcdLogger } from './etcd/logger.js';
