/** JSON merge patches: RFC 7386. */
import { isJsonObject, setOwn, type JsonObject, type JsonValue } from '@waxseal/api-types';

/**
 * @param target not changed; parts of it and of the patch are shared with the result
 * @returns RFC 7386 §2 `MergePatch(Target, Patch)`
 */
export function applyMergePatch(target: JsonValue, patch: JsonValue): JsonValue {
  if (!isJsonObject(patch)) return patch;
  const result: JsonObject = isJsonObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else
      setOwn(result, key, applyMergePatch(Object.hasOwn(result, key) ? (result[key] ?? null) : null, value));
  }
  return result;
}
