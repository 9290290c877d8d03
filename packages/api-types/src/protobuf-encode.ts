/** Writes the JSON of an object as the protobuf of its type. Rules: gogo's generated `MarshalToSizedBuffer`. */
import type { JsonObject, JsonValue } from './object.js';
import { isJsonObject } from './complete.js';
import { DecodeError } from './errors.js';
import { canonicalQuantity } from './quantity.js';
import { parseDuration, parseRfc3339, zeroTimeSeconds } from './time.js';
import type { BuiltinType } from './type-table.js';
import type { FieldType, ObjectType } from './types.js';
import { type WireWriter, wireFixed64, wireVarint } from './wire.js';

function wrongType(field: FieldType, want: string): DecodeError {
  return new DecodeError('wrong-type', `field ${field.name} must be ${want}; nothing was written`);
}

/**
 * Writes every field of the message, from its last byte to its first. Fields that are no pointers are written even
 * when zero, as every Go writer of Kubernetes objects does.
 *
 * @throws DecodeError where a value is not of its field's type
 */
export function encodeFields(writer: WireWriter, type: ObjectType, object: JsonObject): void {
  for (const field of type.fieldsDescending) {
    if (field.inline && field.type !== undefined) {
      const mark = writer.mark;
      encodeFields(writer, field.type, object);
      writer.close(field.number, mark);
      continue;
    }
    const value = Object.hasOwn(object, field.name) ? object[field.name] : undefined;
    const present = value === undefined || value === null ? undefined : value;
    if (field.shape === 'list') encodeList(writer, field, present);
    else if (field.shape === 'map') encodeMap(writer, field, present);
    else if (present === undefined) encodeAbsent(writer, field, value);
    else encodeValue(writer, field, field.number, present);
  }
}

function encodeAbsent(writer: WireWriter, field: FieldType, value: JsonValue | undefined): void {
  if (field.pointer) {
    // A pointer to the zero time prints as null, and null reads as no pointer: nothing is written either way.
    return;
  }
  if (field.value === 'bytes' || field.value === 'strings') return;
  if (field.value === 'object' || value === undefined || value === null)
    encodeZero(writer, field, field.number);
}

function encodeZero(writer: WireWriter, field: FieldType, number: number): void {
  switch (field.value) {
    case 'object':
      encodeValue(writer, field, number, {});
      return;
    case 'string':
      encodeValue(writer, field, number, '');
      return;
    case 'bool':
      encodeValue(writer, field, number, false);
      return;
    case 'int32':
    case 'int64':
    case 'double':
    case 'intOrString':
      encodeValue(writer, field, number, 0);
      return;
    case 'duration':
    case 'quantity':
      encodeValue(writer, field, number, field.value === 'duration' ? '0s' : '0');
      return;
    default:
      // Zero times, raw extensions and field sets are messages without a byte.
      writer.close(number, writer.mark);
  }
}

function encodeList(writer: WireWriter, field: FieldType, value: JsonValue | undefined): void {
  if (value === undefined) return;
  if (!Array.isArray(value)) throw wrongType(field, 'an array');
  for (let index = value.length - 1; index >= 0; index--) {
    const item = value[index];
    if (item === undefined || item === null) encodeZero(writer, field, field.number);
    else encodeValue(writer, field, field.number, item);
  }
}

/** Go sorts keys as bytes; UTF-16 order differs only beyond the basic plane. */
function compareKeys(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function sortedKeys(object: JsonObject): string[] {
  const keys = Object.keys(object);
  return keys.length < 2 ? keys : keys.toSorted(compareKeys);
}

function encodeMap(writer: WireWriter, field: FieldType, value: JsonValue | undefined): void {
  if (value === undefined) return;
  if (!isJsonObject(value)) throw wrongType(field, 'an object');
  const keys = sortedKeys(value);
  for (let index = keys.length - 1; index >= 0; index--) {
    const key = keys[index] ?? '';
    const item = value[key];
    const mark = writer.mark;
    if (item !== undefined && item !== null) encodeValue(writer, field, 2, item);
    else if (field.value !== 'bytes') encodeZero(writer, field, 2);
    const keyMark = writer.mark;
    writer.string(key);
    writer.close(1, keyMark);
    writer.close(field.number, mark);
  }
}

function encodeValue(writer: WireWriter, field: FieldType, number: number, value: JsonValue): void {
  switch (field.value) {
    case 'bool':
      if (typeof value !== 'boolean') throw wrongType(field, 'true or false');
      writer.uint32(value ? 1 : 0);
      writer.tag(number, wireVarint);
      return;
    case 'int32':
    case 'int64':
      writer.int64(integer(field, value));
      writer.tag(number, wireVarint);
      return;
    case 'double':
      if (typeof value !== 'number') throw wrongType(field, 'a number');
      writer.double(value);
      writer.tag(number, wireFixed64);
      return;
    default: {
      const mark = writer.mark;
      encodeBytes(writer, field, field.value, value);
      writer.close(number, mark);
    }
  }
}

function encodeBytes(
  writer: WireWriter,
  field: FieldType,
  kind: BuiltinType | 'object',
  value: JsonValue,
): void {
  switch (kind) {
    case 'object':
      if (!isJsonObject(value) || field.type === undefined) throw wrongType(field, 'an object');
      encodeFields(writer, field.type, value);
      return;
    case 'string':
      writer.string(text(field, value));
      return;
    case 'bytes':
      writer.raw(Buffer.from(text(field, value), 'base64'));
      return;
    case 'time':
    case 'microTime':
      encodeTime(writer, field, kind, value);
      return;
    case 'duration':
      encodeDuration(writer, field, value);
      return;
    case 'quantity':
      encodeQuantity(writer, field, value);
      return;
    case 'intOrString':
      encodeIntOrString(writer, field, value);
      return;
    case 'strings':
      encodeStrings(writer, field, value);
      return;
    default: {
      const mark = writer.mark;
      writer.string(JSON.stringify(value));
      writer.close(1, mark);
    }
  }
}

function text(field: FieldType, value: JsonValue): string {
  if (typeof value !== 'string') throw wrongType(field, 'a string');
  return value;
}

function integer(field: FieldType, value: JsonValue): number {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw wrongType(field, 'a whole number');
  const bits = field.value === 'int32' ? 32 : 64;
  const limit = 2 ** (bits - 1);
  if (value < -limit || value >= limit) throw wrongType(field, `a whole number of ${bits} bits`);
  return value;
}

function encodeTime(
  writer: WireWriter,
  field: FieldType,
  kind: 'time' | 'microTime',
  value: JsonValue,
): void {
  const instant = parseRfc3339(text(field, value));
  if (instant === undefined) throw wrongType(field, 'an RFC 3339 time such as 2006-01-02T15:04:05Z');
  if (instant.seconds === zeroTimeSeconds && instant.nanos === 0) return;
  writer.int64(kind === 'time' ? 0 : instant.nanos - (instant.nanos % 1000));
  writer.tag(2, wireVarint);
  writer.int64(instant.seconds);
  writer.tag(1, wireVarint);
}

function encodeDuration(writer: WireWriter, field: FieldType, value: JsonValue): void {
  const nanos = parseDuration(text(field, value));
  if (nanos === undefined) throw wrongType(field, 'a duration such as 1h30m');
  writer.int64(nanos);
  writer.tag(1, wireVarint);
}

function encodeQuantity(writer: WireWriter, field: FieldType, value: JsonValue): void {
  const parsed = canonicalQuantity(typeof value === 'number' ? String(value) : text(field, value));
  if ('problem' in parsed) throw wrongType(field, 'a quantity such as 500m or 1Gi');
  const mark = writer.mark;
  writer.string(parsed.canonical);
  writer.close(1, mark);
}

function encodeIntOrString(writer: WireWriter, field: FieldType, value: JsonValue): void {
  const isText = typeof value === 'string';
  if (!isText && (typeof value !== 'number' || !Number.isInteger(value))) {
    throw wrongType(field, 'a whole number or a string');
  }
  const mark = writer.mark;
  writer.string(isText ? value : '');
  writer.close(3, mark);
  writer.int64(isText ? 0 : value);
  writer.tag(2, wireVarint);
  writer.uint32(isText ? 1 : 0);
  writer.tag(1, wireVarint);
}

function encodeStrings(writer: WireWriter, field: FieldType, value: JsonValue): void {
  if (!Array.isArray(value)) throw wrongType(field, 'an array');
  for (let index = value.length - 1; index >= 0; index--) {
    const mark = writer.mark;
    writer.string(text(field, value[index] ?? ''));
    writer.close(1, mark);
  }
}
