/**
 * The keys of values that are read again and again.
 *
 * Deriving a DEK from its seed costs about a fifth of opening a small value, and the same values are read many times.
 * As in the reference (aes/cache.go) an entry is found by the storage key and holds only while the value keeps its
 * info, so a rewritten value replaces its entry. Bounded by count; the oldest entry goes first.
 */
import type { DerivedKeyCache } from './dek.js';

/** Some 250 bytes an entry: 2 MiB at most. */
export const DEFAULT_MAX_DERIVED_KEYS = 8192;

/** Infos and keys are small and many: one allocation serves this many. */
const ENTRIES_PER_SLAB = 64;

interface Entry {
  readonly seed: object;
  readonly info: Buffer;
  readonly key: Buffer;
}

/** @param maxEntries 0 keeps nothing */
export function createDerivedKeyCache(maxEntries = DEFAULT_MAX_DERIVED_KEYS): DerivedKeyCache {
  const entries = new Map<string, Entry>();
  let slab: Buffer = Buffer.alloc(0);
  let used = 0;
  const keep = (bytes: Buffer): Buffer => {
    if (used + bytes.length > slab.length) {
      slab = Buffer.allocUnsafeSlow(ENTRIES_PER_SLAB * 2 * bytes.length);
      used = 0;
    }
    const kept = slab.subarray(used, used + bytes.length);
    used += bytes.copy(kept);
    return kept;
  };
  return {
    get(seed, info, authenticatedData) {
      const entry = entries.get(authenticatedData.toString('latin1'));
      return entry !== undefined && entry.seed === seed && entry.info.equals(info) ? entry.key : undefined;
    },
    set(seed, info, authenticatedData, key) {
      if (maxEntries <= 0) return;
      const name = authenticatedData.toString('latin1');
      const replaced = entries.get(name);
      if (replaced !== undefined) {
        replaced.key.fill(0);
      } else if (entries.size >= maxEntries) {
        const [oldestName, oldest] = entries.entries().next().value ?? [];
        oldest?.key.fill(0);
        if (oldestName !== undefined) entries.delete(oldestName);
      }
      entries.set(name, { seed, info: keep(info), key: keep(key) });
    },
  };
}
