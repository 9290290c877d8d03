/** What has to work for calls to be answered. */
import type { Store } from '@waxseal/storage';
import type { AuditJournal } from '../audit/journal.js';
import { ROOT_KEY_RECORD } from '../keys/store-keys.js';
import type { HealthCheck } from './health-server.js';

/** A full disk is no reason to send callers away: what changes nothing goes on. The metric tells it. */
export function healthChecks(store: Store, journal: AuditJournal): readonly HealthCheck[] {
  return [
    {
      name: 'store',
      run: async () =>
        (await store.get(ROOT_KEY_RECORD)).kv === undefined ? 'its records are gone' : undefined,
    },
    {
      name: 'audit',
      run: async () => (journal.recover() === 'failing' ? 'records cannot be written' : undefined),
    },
  ];
}
