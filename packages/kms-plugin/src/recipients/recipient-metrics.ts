/** What happens to the keys of a group, by the operator's name for each, and how long each can still be read. */
import { Counter, Gauge, type Registry } from 'prom-client';

export interface RecipientMetrics {
  readonly operations: Counter<'key_set' | 'recipient' | 'role' | 'operation' | 'result'>;
  readonly missing: Counter<'key_set' | 'recipient' | 'operation'>;
  readonly altered: Counter<'key_set' | 'recipient'>;
  readonly daysUntilUnreadable: Gauge<'key_set' | 'key_id_hash' | 'recipient' | 'role'>;
  readonly conditionChecks: Counter<'key_set' | 'recipient' | 'result'>;
}

export function createRecipientMetrics(registry: Registry): RecipientMetrics {
  const registers = [registry];
  return {
    operations: new Counter({
      name: 'waxseal_kms_recipient_operations_total',
      help: 'Operations of each key of a group, by its name and role, by result: ok or the class of the failure.',
      labelNames: ['key_set', 'recipient', 'role', 'operation', 'result'],
      registers,
    }),
    missing: new Counter({
      name: 'waxseal_kms_recipient_missing_total',
      help: 'DEK sources that were written (encrypt) or met (decrypt) without this recipient.',
      labelNames: ['key_set', 'recipient', 'operation'],
      registers,
    }),
    altered: new Counter({
      name: 'waxseal_kms_recipient_altered_total',
      help: 'Values that held for this recipient what belongs to another value or was changed.',
      labelNames: ['key_set', 'recipient'],
      registers,
    }),
    daysUntilUnreadable: new Gauge({
      name: 'waxseal_kms_key_days_until_unreadable',
      help: 'Days until what the key wrapped cannot be read any more, as the backend says: 0 now, +Inf when nothing speaks against it.',
      labelNames: ['key_set', 'key_id_hash', 'recipient', 'role'],
      registers,
    }),
    conditionChecks: new Counter({
      name: 'waxseal_kms_key_condition_checks_total',
      help: 'Questions to the backends for the state of their keys, by result: ok or the class of the failure.',
      labelNames: ['key_set', 'recipient', 'result'],
      registers,
    }),
  };
}
