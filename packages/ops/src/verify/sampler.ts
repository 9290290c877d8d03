/** Which values to open when one per key is enough. */
import type { StoredValueKind } from '../stored-value.js';

export interface Sampler {
  /** Asked once per value, in the order of the source; every yes is followed by one `settled`. */
  wants(kind: StoredValueKind, group: string): boolean;
  settled(group: string, opened: boolean): void;
}

/** After a failure more values of the group are tried: they tell a wrong key from one damaged value. */
const FAILURES_MAX = 4;

interface Group {
  underWay: boolean;
  failures: number;
  opened: boolean;
}

export function createSampler(all: boolean): Sampler {
  const groups = new Map<string, Group>();
  return {
    wants(kind, group) {
      // What cannot be named cannot stand for others, and every KMS v1 value has a DEK of its own.
      if (all || kind.problem !== undefined || kind.provider === 'kms-v1') return true;
      const known = groups.get(group);
      if (known === undefined) {
        groups.set(group, { underWay: true, failures: 0, opened: false });
        return true;
      }
      if (known.opened || known.underWay || known.failures >= FAILURES_MAX) return false;
      known.underWay = true;
      return true;
    },
    settled(group, opened) {
      const known = groups.get(group);
      if (known === undefined) return;
      known.underWay = false;
      if (opened) known.opened = true;
      else known.failures++;
    },
  };
}
