/**
 * Strategic merge patches: merge patches that know which lists are sets and which are maps by a key.
 *
 * Source of the rules: k8s.io/apimachinery `util/strategicpatch` (applying to an object: parallel lists are merged,
 * nulls that match nothing are ignored). Directives: `$patch`, `$retainKeys`, `$deleteFromPrimitiveList/<field>`,
 * `$setElementOrder/<field>`.
 */
import {
  isJsonObject,
  setOwn,
  type FieldType,
  type JsonObject,
  type JsonValue,
  type ObjectType,
} from '@waxseal/api-types';
import { PatchError } from './errors.js';
import { enforceOrder, itemKey } from './list-order.js';

const directive = '$patch';
const retainKeys = '$retainKeys';
const deleteFromList = '$deleteFromPrimitiveList';
const setElementOrder = '$setElementOrder';

/**
 * @param type of the object; fields it does not know are merged as by a JSON merge patch
 * @param target not changed
 * @param patch the parsed body; not changed
 * @throws PatchError `malformed` or `not-applicable`
 */
export function applyStrategicMergePatch(type: ObjectType, target: JsonObject, patch: JsonValue): JsonObject {
  if (!isJsonObject(patch))
    throw new PatchError('malformed', 'a strategic merge patch must be a JSON object');
  return mergeObject(target, patch, type);
}

function mergeObject(original: JsonObject, patch: JsonObject, type: ObjectType | undefined): JsonObject {
  if (Object.hasOwn(patch, directive)) return applyDirective(patch);
  const result = retained(original, patch);
  const done = new Set<string>([retainKeys]);
  for (const key of Object.keys(patch)) {
    if (key.startsWith(`${setElementOrder}/`) || key === setElementOrder) {
      done.add(key);
      const field = directiveField(key, setElementOrder);
      if (mergeOrderedList(result, patch, field, type)) done.add(field);
    }
  }
  for (const [key, value] of Object.entries(patch)) {
    // Before anything is added: what a patch both deletes and adds stays.
    if (!key.startsWith(deleteFromList)) continue;
    deleteItems(result, directiveField(key, deleteFromList), value);
    done.add(key);
  }
  for (const [key, value] of Object.entries(patch)) {
    if (!done.has(key)) mergeField(result, key, value, type?.fieldsByName.get(key));
  }
  return result;
}

function applyDirective(patch: JsonObject): JsonObject {
  const { [directive]: kind, ...rest } = patch;
  if (kind === 'replace') return withoutDirectives(rest);
  if (kind === 'delete') return {};
  throw new PatchError('malformed', `unknown patch type: a map's ${directive} must be replace or delete`);
}

/** `$retainKeys` lists every field the union keeps; the patch may set no other. */
function retained(original: JsonObject, patch: JsonObject): JsonObject {
  const keys = Object.hasOwn(patch, retainKeys) ? patch[retainKeys] : undefined;
  if (keys === undefined) return { ...original };
  if (!Array.isArray(keys))
    throw new PatchError('malformed', 'invalid patch format of retainKeys: it must be a list');
  const kept = new Set(keys);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null || key.startsWith('$') || kept.has(key)) continue;
    throw new PatchError(
      'malformed',
      `invalid patch format of retainKeys: the patch sets ${key}, which the list lacks`,
    );
  }
  return Object.fromEntries(Object.entries(original).filter(([key]) => kept.has(key)));
}

function directiveField(key: string, prefix: string): string {
  if (!key.startsWith(`${prefix}/`)) {
    const what = prefix === deleteFromList ? 'primitive list' : 'setElementOrder list';
    throw new PatchError('malformed', `invalid patch format of ${what}: write ${prefix}/<field>`);
  }
  return key.slice(prefix.length + 1);
}

function own(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function mergeField(result: JsonObject, key: string, value: JsonValue, field: FieldType | undefined): void {
  if (value === null) {
    delete result[key];
    return;
  }
  const original = own(result, key);
  if (isJsonObject(original) && isJsonObject(value))
    setOwn(result, key, mergeMapField(original, value, field));
  else if (Array.isArray(original) && Array.isArray(value))
    setOwn(result, key, mergeListField(original, value, field));
  else if (isJsonObject(value) && Object.hasOwn(value, directive)) delete result[key];
  else setOwn(result, key, cleaned(value));
}

function mergeMapField(original: JsonObject, patch: JsonObject, field: FieldType | undefined): JsonObject {
  if (field?.patchStrategies.includes('replace') === true) return withoutDirectives(patch);
  return mergeObject(original, patch, field?.shape === 'single' ? field.type : undefined);
}

function mergeListField(
  original: JsonValue[],
  patch: JsonValue[],
  field: FieldType | undefined,
): JsonValue[] {
  if (field?.patchStrategies.includes('merge') !== true) return cleanedList(patch);
  return mergeList(original, patch, field);
}

/** Scalars become a set; objects merge by their key. The order is the patch's, then the original's. */
function mergeList(
  original: readonly JsonValue[],
  patch: readonly JsonValue[],
  field: FieldType,
): JsonValue[] {
  if (original.length === 0 && patch.length === 0) return [];
  const isMap = isJsonObject(original[0] ?? patch[0]);
  for (const item of [...original, ...patch]) {
    if (Array.isArray(item)) throw new PatchError('not-applicable', 'lists of lists are not supported');
    if (isJsonObject(item) !== isMap)
      throw new PatchError('not-applicable', `the list ${field.name} mixes objects and plain values`);
  }
  if (!isMap) return enforceOrder([...new Set([...original, ...patch])], patch, original, undefined);
  const key = field.patchMergeKey;
  if (key === undefined)
    throw new PatchError('not-applicable', `cannot merge lists without merge key for ${field.name}`);
  const { base, additions } = applyListDirectives(original, patch, key);
  const merged = mergeItems(base, additions, key, field.type);
  return enforceOrder(merged, additions, base, key);
}

function requireKey(item: JsonValue, key: string): JsonValue {
  const value = itemKey(item, key);
  if (value === undefined)
    throw new PatchError('not-applicable', `map does not contain declared merge key: ${key}`);
  return value;
}

function applyListDirectives(
  original: readonly JsonValue[],
  patch: readonly JsonValue[],
  key: string,
): { base: readonly JsonValue[]; additions: readonly JsonValue[] } {
  const additions: JsonValue[] = [];
  const deleted = new Set<JsonValue>();
  let replaces = false;
  for (const item of patch) {
    const kind = isJsonObject(item) ? own(item, directive) : undefined;
    if (kind === undefined) additions.push(item);
    else if (kind === 'delete') deleted.add(requireKey(item, key));
    else if (kind === 'replace') replaces = true;
    else
      throw new PatchError(
        'malformed',
        `unknown patch type: a list item's ${directive} must be replace or delete`,
      );
  }
  if (replaces) return { base: cleanedList(additions), additions: [] };
  const base =
    deleted.size === 0 ? original : original.filter((item) => !deleted.has(itemKey(item, key) ?? null));
  return { base, additions };
}

function mergeItems(
  base: readonly JsonValue[],
  additions: readonly JsonValue[],
  key: string,
  type: ObjectType | undefined,
): JsonValue[] {
  const merged = [...base];
  const positions = new Map<JsonValue, number>();
  merged.forEach((item, index) => {
    const value = itemKey(item, key);
    if (value !== undefined && !positions.has(value)) positions.set(value, index);
  });
  for (const item of additions) {
    const value = requireKey(item, key);
    const position = positions.get(value);
    const known = position === undefined ? undefined : merged[position];
    if (position !== undefined && isJsonObject(known) && isJsonObject(item)) {
      merged[position] = mergeObject(known, item, type);
    } else {
      positions.set(value, merged.length);
      merged.push(cleaned(item));
    }
  }
  return merged;
}

function deleteItems(result: JsonObject, name: string, items: JsonValue): void {
  const list = own(result, name);
  if (!Array.isArray(list)) return;
  if (!Array.isArray(items)) {
    if (items === null) delete result[name];
    else throw new PatchError('malformed', 'invalid patch format of primitive list: it must be a list');
    return;
  }
  const unwanted = new Set(items);
  setOwn(
    result,
    name,
    list.filter((item) => !unwanted.has(item)),
  );
}

/** @returns whether the field's list is merged, so that it must not be merged again */
function mergeOrderedList(
  result: JsonObject,
  patch: JsonObject,
  name: string,
  type: ObjectType | undefined,
): boolean {
  const order = own(patch, `${setElementOrder}/${name}`);
  const original = own(result, name);
  const additions = own(patch, name);
  if (!Array.isArray(order)) throw malformedOrder('it must be a list');
  if (original === undefined && additions === undefined) return false;
  if (additions === null) return false;
  if (original !== undefined && !Array.isArray(original)) throw malformedOrder(`${name} is no list`);
  if (additions !== undefined && !Array.isArray(additions))
    throw malformedOrder(`${name} is no list in the patch`);
  const field = type?.fieldsByName.get(name);
  const key = isJsonObject(original?.[0] ?? additions?.[0]) ? field?.patchMergeKey : undefined;
  checkOrder(additions ?? [], order, key);
  let merged: JsonValue[];
  if (original === undefined) merged = cleanedList(additions ?? []);
  else if (additions === undefined) merged = original;
  else merged = mergeListField(original, additions, field);
  setOwn(result, name, enforceOrder(merged, order, original ?? [], key));
  return true;
}

function malformedOrder(why: string): PatchError {
  return new PatchError('malformed', `invalid patch format of setElementOrder list: ${why}`);
}

/** What the patch adds must stand in the order list, in the same sequence. */
function checkOrder(
  additions: readonly JsonValue[],
  order: readonly JsonValue[],
  key: string | undefined,
): void {
  if (additions.length === 0 || order.length === 0) return;
  let next = 0;
  for (const item of additions) {
    if (isJsonObject(item) && Object.hasOwn(item, directive)) continue;
    const wanted = itemKey(item, key);
    while (next < order.length && itemKey(order[next] ?? null, key) !== wanted) next++;
    if (next === order.length) throw malformedOrder('the order of the list in the patch does not match it');
    next++;
  }
}

/** A value the object did not have: what `$patch` marks is dropped, and so are nulls and other directives. */
function cleaned(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return cleanedList(value);
  return isJsonObject(value) ? withoutDirectives(value) : value;
}

function cleanedList(items: readonly JsonValue[]): JsonValue[] {
  return items.filter((item) => !(isJsonObject(item) && Object.hasOwn(item, directive))).map(cleaned);
}

function withoutDirectives(object: JsonObject): JsonObject {
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(object)) {
    if (
      value === null ||
      key === retainKeys ||
      key.startsWith(`${setElementOrder}/`) ||
      key.startsWith(`${deleteFromList}/`)
    )
      continue;
    if (isJsonObject(value) && Object.hasOwn(value, directive)) continue;
    setOwn(result, key, cleaned(value));
  }
  return result;
}
