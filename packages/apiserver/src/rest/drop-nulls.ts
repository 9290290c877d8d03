/**
 * In a Kubernetes object null means absent: Go decodes it to the zero value and leaves it out when it encodes.
 */
import type { KubeObject } from '@waxseal/api-types';

/** Maps from names to text, where a null value is an empty one; their strategies see to it. */
const TEXT_MAPS: ReadonlySet<string> = new Set(['data', 'binaryData', 'stringData']);

/** The object without nulls; the same object when it has none. */
export function dropNulls(object: KubeObject): KubeObject {
  let result: KubeObject | undefined;
  for (const key of Object.keys(object)) {
    const value = object[key];
    const cleaned = TEXT_MAPS.has(key) ? (value ?? undefined) : clean(value);
    if (cleaned === value) continue;
    result ??= { ...object };
    if (cleaned === undefined) delete result[key];
    else result[key] = cleaned;
  }
  return result ?? object;
}

/** Undefined for null. */
function clean(value: unknown): unknown {
  if (value === null) return undefined;
  if (typeof value !== 'object') return value;
  if (Array.isArray(value)) {
    const cleaned = value.map(clean);
    return cleaned.some((item, i) => item !== value[i])
      ? cleaned.filter((item) => item !== undefined)
      : value;
  }
  const record = value as Record<string, unknown>;
  let result: Record<string, unknown> | undefined;
  for (const key of Object.keys(record)) {
    const cleaned = clean(record[key]);
    if (cleaned === record[key]) continue;
    result ??= { ...record };
    if (cleaned === undefined) delete result[key];
    else result[key] = cleaned;
  }
  return result ?? value;
}
