/**
 * The newest heads of the audit log, kept in the key store as well: who empties the audit folder, or puts an older copy in its place,
 * would otherwise get a new chain that verifies.
 *
 * Only where one service has the store to itself: replicas each have a log of their own.
 */
import type { Store } from '@waxseal/storage';
import { KeyServiceError } from '../errors.js';
import { AUDIT_HEADS } from '../keys/store-keys.js';
import { type AuditHeads, headsText, parseHeadsText } from './heads.js';

export interface HeadsMemory {
  /** Undefined before the first delivery. */
  recall(): Promise<AuditHeads | undefined>;
  remember(heads: AuditHeads): Promise<void>;
}

export function createHeadsMemory(store: Store): HeadsMemory {
  return {
    async recall() {
      const { kv } = await store.get(AUDIT_HEADS);
      if (kv === undefined) return undefined;
      const heads = parseHeadsText(kv.value.toString('utf8'));
      if (heads !== undefined) return heads;
      throw new KeyServiceError(
        'store-corrupt',
        'What the store says of the audit log cannot be read. Restore the store from a backup.',
      );
    },
    async remember(heads) {
      const value = Buffer.from(headsText(heads));
      await store.txn({ compare: [], success: [{ kind: 'put', key: AUDIT_HEADS, value }], failure: [] });
    },
  };
}
