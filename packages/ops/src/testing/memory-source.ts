/** A source whose values are given. */
import type { PastKeyValue, Source, StoredKeyValue } from '../sources/source.js';

export interface MemoryValue {
  readonly key: string;
  readonly value: Buffer;
  readonly modRevision: number;
}

export function memorySource(
  name: string,
  live: readonly MemoryValue[],
  past: readonly MemoryValue[] = [],
): Source {
  const revision = Math.max(1, ...[...live, ...past].map((each) => each.modRevision));
  const stored = (each: MemoryValue): StoredKeyValue => ({
    key: Buffer.from(each.key),
    value: each.value,
    createRevision: 1,
    modRevision: each.modRevision,
    version: 1,
    lease: 0n,
  });
  const under = (values: readonly MemoryValue[], prefix: Buffer): readonly StoredKeyValue[] =>
    values.map(stored).filter(({ key }) => key.subarray(0, prefix.length).equals(prefix));
  return {
    name,
    revision,
    compactRevision: 1,
    // oxlint-disable-next-line require-await
    async *live(prefix): AsyncGenerator<StoredKeyValue> {
      yield* under(live, prefix);
    },
    // oxlint-disable-next-line require-await
    async *past(prefix): AsyncGenerator<PastKeyValue> {
      yield* under(past, prefix).map((each) => ({ ...each, supersededBy: undefined }));
    },
    close: () => Promise.resolve(),
  };
}
