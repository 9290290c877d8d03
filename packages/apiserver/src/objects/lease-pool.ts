/**
 * Leases for objects that vanish by themselves, shared by those written in the same minute: a lease per object would
 * cost a write each.
 *
 * Source of the rule: k8s.io/apiserver `storage/etcd3` lease_manager.go (reuse for 60 s, at most 1,000 objects).
 */
import { StoreError, type Store } from '@waxseal/storage';

const REUSE_MS = 60_000;
const MAX_OBJECTS = 1000;

export interface LeasePool {
  /** A lease that lasts at least `ttlSeconds` from now. @throws StoreError */
  lease(ttlSeconds: number): Promise<bigint>;
}

interface SharedLease {
  readonly id: Promise<bigint>;
  readonly reuseUntilMs: number;
  objects: number;
}

export function createLeasePool(store: Store, now: () => Date): LeasePool {
  const shared = new Map<number, SharedLease>();
  return {
    async lease(ttlSeconds) {
      const nowMs = now().getTime();
      const current = shared.get(ttlSeconds);
      if (current !== undefined && nowMs < current.reuseUntilMs && current.objects < MAX_OBJECTS) {
        current.objects++;
        return current.id;
      }
      // The last object joins a minute late, so the lease lives a minute longer.
      const id = store.leaseGrant(ttlSeconds + REUSE_MS / 1000).then((granted) => granted.id);
      shared.set(ttlSeconds, { id, reuseUntilMs: nowMs + REUSE_MS, objects: 1 });
      id.catch((error: unknown) => {
        shared.delete(ttlSeconds);
        if (!(error instanceof StoreError)) throw error;
      });
      return id;
    },
  };
}
