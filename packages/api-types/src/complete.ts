/**
 * Gives an object the shape Go's encoder would: fields in struct order, empty optional fields left out, required
 * zero values and nested zero structs present.
 *
 * Source of the rules: Go encoding/json (`omitempty`, `omitzero`, nil pointers, slices and maps) over the API types.
 */
import type { JsonObject, JsonValue } from './object.js';
import type { BuiltinType } from './type-table.js';
import type { FieldType, ObjectType } from './types.js';

/** Assigns also to the key `__proto__`, which a plain assignment would lose. */
export function setOwn(object: JsonObject, key: string, value: JsonValue): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  } else object[key] = value;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What Go prints for the zero value of a field that is not a pointer, list or map. */
const zeroes: Readonly<Record<BuiltinType, JsonValue>> = {
  string: '',
  bool: false,
  int32: 0,
  int64: 0,
  double: 0,
  bytes: null,
  time: null,
  microTime: null,
  duration: '0s',
  quantity: '0',
  intOrString: 0,
  rawExtension: null,
  fieldsV1: null,
  strings: null,
};

/** Go calls these empty when zero; structs never are, however empty they look. */
const canBeEmpty: ReadonlySet<string> = new Set([
  'string',
  'bool',
  'int32',
  'int64',
  'double',
  'bytes',
  'strings',
]);

/**
 * @param fields what was read, by JSON name, inline fields flattened: absent means Go's zero value, `null` a value
 *   that prints as null
 * @returns a new object; `fields` is not changed
 */
function completeObject(type: ObjectType, fields: JsonObject): JsonObject {
  const result: JsonObject = {};
  completeInto(result, type, fields);
  return result;
}

/** As `completeObject`, into an object that already holds apiVersion and kind. */
export function completeInto(result: JsonObject, type: ObjectType, fields: JsonObject): void {
  for (const field of type.fields) {
    if (field.inline && field.type !== undefined) {
      completeInto(result, field.type, fields);
      continue;
    }
    const value = Object.hasOwn(fields, field.name) ? fields[field.name] : undefined;
    if (field.shape === 'single') completeSingle(result, field, value);
    else completeCollection(result, field, value);
  }
}

function completeSingle(result: JsonObject, field: FieldType, value: JsonValue | undefined): void {
  if (value === undefined) {
    if (field.pointer) {
      if (!field.omitEmpty) result[field.name] = null;
      return;
    }
    if (field.omitZero || (field.omitEmpty && canBeEmpty.has(field.value))) return;
    result[field.name] = zeroOf(field);
    return;
  }
  if (!field.pointer && isEmpty(field, value)) return;
  result[field.name] = completeValue(field, value);
}

function completeCollection(result: JsonObject, field: FieldType, value: JsonValue | undefined): void {
  if (Array.isArray(value)) {
    if (value.length === 0 && field.omitEmpty) return;
    result[field.name] = field.type === undefined ? value : value.map((item) => completeValue(field, item));
  } else if (isJsonObject(value)) {
    const keys = Object.keys(value);
    if (keys.length === 0 && field.omitEmpty) return;
    if (field.type === undefined) {
      result[field.name] = value;
      return;
    }
    const completed: JsonObject = {};
    for (const key of keys) setOwn(completed, key, completeValue(field, value[key] ?? {}));
    result[field.name] = completed;
  } else if (!field.omitEmpty) result[field.name] = null;
}

function completeValue(field: FieldType, value: JsonValue): JsonValue {
  return field.type !== undefined && isJsonObject(value) ? completeObject(field.type, value) : value;
}

function zeroOf(field: FieldType): JsonValue {
  return field.value === 'object'
    ? field.type === undefined
      ? {}
      : completeObject(field.type, {})
    : zeroes[field.value];
}

/** Of a field that is not a pointer. */
function isEmpty(field: FieldType, value: JsonValue): boolean {
  if (field.omitZero && field.value !== 'object' && value === zeroes[field.value]) return true;
  if (!field.omitEmpty || !canBeEmpty.has(field.value)) return false;
  return (
    value === '' ||
    value === 0 ||
    value === false ||
    value === null ||
    (Array.isArray(value) && value.length === 0)
  );
}
