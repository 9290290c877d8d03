/** How long the keys of one key set can still be read, in the gauge that all key sets share. */
import { hashKeyId } from '../metrics.js';
import type { ProviderMember } from '../provider.js';
import type { RecipientMetrics } from './recipient-metrics.js';

export interface DaysGauge {
  set(member: ProviderMember, days: number): void;
  /** Takes this key set out of the gauge. */
  forget(): void;
}

/** The gauge for one key set: a key that was rotated leaves no value of its old id behind. */
export function createDaysGauge({ daysUntilUnreadable }: RecipientMetrics, keySet: string): DaysGauge {
  const shown = new Map<string, { key_set: string; key_id_hash: string; recipient: string; role: string }>();
  return {
    set: ({ name, role, provider }, days) => {
      const labels = {
        key_set: keySet,
        key_id_hash: hashKeyId(provider.snapshot().keyId),
        recipient: name,
        role,
      };
      const before = shown.get(name);
      if (before !== undefined && before.key_id_hash !== labels.key_id_hash)
        daysUntilUnreadable.remove(before);
      shown.set(name, labels);
      daysUntilUnreadable.set(labels, days);
    },
    forget: () => {
      for (const labels of shown.values()) daysUntilUnreadable.remove(labels);
      shown.clear();
    },
  };
}
