/**
 * Whether an aescbc key is the one that wrote what lies under its name: one value in 256 opens under any key, so all of them are tried. Asked only
 * when something opened that says nothing for itself.
 */
import type { Transformer } from '@waxseal/envelope';
import type { KeyValue } from '@waxseal/storage';
import { describeStoredValue } from '../stored-value.js';

/** Of the right key's values a few may be damaged; of a wrong one's nearly all fail. */
const FAILED_SHARE_MAX = 1 / 16;

/**
 * @param everyValue of the run
 * @returns asked with a value and what reads it; the answer is found once for each key name and reader
 */
export function createKeyTrial(
  everyValue: () => AsyncIterable<KeyValue>,
): (value: Buffer, transformer: Transformer) => Promise<boolean> {
  const known = new Map<Transformer, Map<string, Promise<boolean>>>();
  return (value, transformer) => {
    const byName = known.get(transformer) ?? new Map<string, Promise<boolean>>();
    known.set(transformer, byName);
    const name = describeStoredValue(value).key;
    const answer = byName.get(name) ?? fits(everyValue(), name, transformer);
    byName.set(name, answer);
    return answer;
  };
}

async function fits(
  values: AsyncIterable<KeyValue>,
  name: string,
  transformer: Transformer,
): Promise<boolean> {
  let tried = 0;
  let failed = 0;
  for await (const { key, value } of values) {
    const { provider, key: keyName } = describeStoredValue(value);
    if (provider !== 'aescbc' || keyName !== name) continue;
    tried++;
    try {
      (await transformer.transformFromStorage(value, key)).data.fill(0);
    } catch {
      failed++;
    }
  }
  return failed <= tried * FAILED_SHARE_MAX;
}
