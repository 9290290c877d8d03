/** What every verb works with. */
import type { Logger } from 'pino';
import type { AuthHooks } from '../auth/hooks.js';
import type { NamespaceLifecycle } from '../admission/namespace-lifecycle.js';
import type { ObjectStore } from '../objects/object-store.js';
import type { Schedule } from '../objects/schedule.js';
import type { StoredResource } from '../objects/storage-key.js';
import type { WatchHub } from '../objects/watch-hub.js';
import type { Strategy } from '../registry/strategy.js';

/** A resource that is stored, with its strategy. */
export interface StoredEntry {
  readonly definition: StoredResource;
  readonly strategy: Strategy;
}

/** What a removed object leaves to do; see garbage-collector.ts. */
export interface RemovalListener {
  /** An object is gone: whatever it owned may have to go too. */
  removed(entry: StoredEntry, namespace: string): void;
  /** An object waits for its dependents, under the `orphan` or `foregroundDeletion` finalizer. */
  waiting(entry: StoredEntry, namespace: string): void;
}

export interface RestContext {
  readonly objects: ObjectStore;
  readonly entries: readonly StoredEntry[];
  readonly auth: AuthHooks;
  readonly namespaces: NamespaceLifecycle;
  readonly removals: RemovalListener;
  readonly hubOf: (entry: StoredEntry) => WatchHub;
  readonly now: () => Date;
  readonly randomBytes: (size: number) => Buffer;
  readonly schedule: Schedule;
  readonly logger: Logger;
}
