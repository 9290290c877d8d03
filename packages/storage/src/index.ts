import type { openEtcdStore as OpenEtcdStore } from './etcd/etcd-store.js';
import type { shrinkEtcd as ShrinkEtcd } from './etcd/maintenance.js';
import type { startEtcdFront as StartEtcdFront } from './etcd-front/server.js';

export * from './store.js';
export type { EtcdStoreOptions } from './etcd/etcd-store.js';
export type { ShrinkResult, ShrinkStep } from './etcd/maintenance.js';
export type { EtcdLogger } from './etcd/logger.js';
export type { EtcdFront, EtcdFrontOptions } from './etcd-front/server.js';
export type { ListenAddress } from './etcd-front/listener.js';
export { writeBoltFile, type BoltBucket, type BoltEntry } from './etcd-front/bolt-file.js';
export { openLmdbStore, type LmdbStoreOptions } from './lmdb/open.js';
export { shrinkLmdbStore, type ShrunkStore } from './lmdb/shrink.js';
export type { Clock } from './lmdb/clock.js';
export { takeProcessLock } from './process-lock.js';

// gRPC takes longer to load than everything else here: who only wants the embedded store need not wait for it.

/** A Store over an etcd cluster. */
export const openEtcdStore: typeof OpenEtcdStore = async (options) =>
  (await import('./etcd/etcd-store.js')).openEtcdStore(options);

/** Compaction and defragmentation of every named member of an etcd cluster. */
export const shrinkEtcd: typeof ShrinkEtcd = async (...args) =>
  (await import('./etcd/maintenance.js')).shrinkEtcd(...args);

/** The etcd v3 API over a Store. */
export const startEtcdFront: typeof StartEtcdFront = async (options) =>
  (await import('./etcd-front/server.js')).startEtcdFront(options);
