/** Can the storage be read? One key that never exists is enough to ask. */
import type { HealthCheck } from '@waxseal/encryption-config';
import type { Store } from '@waxseal/storage';

// kube-apiserver calls the same check so, whatever its storage is; probes are configured by that name.
const NAME = 'etcd';
const PROBE_KEY = Buffer.from('/registry/health');

export function createStorageCheck(store: Store): HealthCheck {
  return {
    name: NAME,
    async check() {
      await store.get(PROBE_KEY);
    },
  };
}
