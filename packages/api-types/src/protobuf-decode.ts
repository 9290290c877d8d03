/** Reads one protobuf message into the JSON fields of its type. Rules: gogo's generated `Unmarshal`. */
import type { JsonObject, JsonValue } from './object.js';
import { isJsonObject, setOwn } from './complete.js';
import { DecodeError } from './errors.js';
import { canonicalQuantity } from './quantity.js';
import { formatDuration, formatMicros, formatSeconds, isRepresentableTime, zeroTimeSeconds } from './time.js';
import type { BuiltinType } from './type-table.js';
import type { FieldType, ObjectType } from './types.js';
import { type WireReader, wireBytes, wireFixed64, wireVarint } from './wire.js';

/** Types nest far less; a hostile List may try. */
const maxDepth = 100;

/**
 * What the message holds and the object does not:
 * - `unknown-field`: a field of a newer or older release than the types are of; `type` is the message it is in, `PodSpec`
 * - `rounded-integer`: one beyond ±2⁵³, as the nearest double
 */
export type DecodeLoss =
  | { readonly kind: 'unknown-field'; readonly type: string; readonly number: number }
  | { readonly kind: 'rounded-integer' };

export interface DecodeContext {
  readonly reader: WireReader;
  /** Messages entered and not left. */
  depth: number;
  readonly onLoss?: ((loss: DecodeLoss) => void) | undefined;
  /** Bytes embedded in a RawExtension: JSON, or a whole protobuf object. */
  readEmbedded(bytes: Buffer, depth: number): JsonValue;
}

const wireTypes: Readonly<Record<BuiltinType, number>> = {
  string: wireBytes,
  bool: wireVarint,
  int32: wireVarint,
  int64: wireVarint,
  double: wireFixed64,
  bytes: wireBytes,
  time: wireBytes,
  microTime: wireBytes,
  duration: wireBytes,
  quantity: wireBytes,
  intOrString: wireBytes,
  rawExtension: wireBytes,
  fieldsV1: wireBytes,
  strings: wireBytes,
};

/** Of an entry without a value. Bytes have none: only a nil slice is written so, and it prints as null. */
const zeroMapValues: Partial<Record<BuiltinType, JsonValue>> = {
  string: '',
  bool: false,
  int32: 0,
  int64: 0,
  double: 0,
  quantity: '0',
};

/**
 * Reads up to the reader's end. Fields that occur again replace scalars, merge into messages and extend collections.
 *
 * @param fields filled by JSON name; only what the message holds is set
 * @throws DecodeError
 */
export function decodeFields(context: DecodeContext, type: ObjectType, fields: JsonObject): void {
  const { reader } = context;
  if (context.depth > maxDepth)
    throw new DecodeError('too-deep', `the protobuf nests deeper than ${maxDepth} messages`);
  while (reader.position < reader.end) {
    const tag = reader.tag();
    const wireType = tag & 7;
    const field = type.fieldsByNumber.get(tag >>> 3);
    if (field === undefined) {
      const start = reader.position;
      reader.skip(wireType);
      if (!isEmptyClusterName(type, tag, reader.position - start))
        context.onLoss?.({ kind: 'unknown-field', type: type.name, number: tag >>> 3 });
    } else decodeField(context, field, wireType, fields);
  }
}

/** Releases to 1.23 wrote ObjectMeta's clusterName, field 15, into every object, empty. */
function isEmptyClusterName(type: ObjectType, tag: number, bytes: number): boolean {
  return tag === ((15 << 3) | wireBytes) && bytes === 1 && type.name === 'ObjectMeta';
}

function decodeField(context: DecodeContext, field: FieldType, wireType: number, fields: JsonObject): void {
  const { reader } = context;
  if (field.shape === 'map') {
    expectWireType(reader, field, wireType, wireBytes);
    decodeMapEntry(context, field, ownObject(fields, field.name));
    return;
  }
  if (field.shape === 'list') {
    decodeListItem(context, field, wireType, ownList(fields, field.name));
    return;
  }
  if (field.value === 'object') {
    expectWireType(reader, field, wireType, wireBytes);
    decodeMessage(context, field, field.inline ? fields : ownObject(fields, field.name));
    return;
  }
  expectWireType(reader, field, wireType, wireTypes[field.value]);
  fields[field.name] = decodeBuiltin(context, field.value);
}

function expectWireType(reader: WireReader, field: FieldType, got: number, want: number): void {
  if (got !== want) throw reader.fail(`field ${field.name} has wire type ${got}, not ${want}`);
}

function ownObject(fields: JsonObject, name: string): JsonObject {
  const known = fields[name];
  if (isJsonObject(known)) return known;
  const created: JsonObject = {};
  fields[name] = created;
  return created;
}

function ownList(fields: JsonObject, name: string): JsonValue[] {
  const known = fields[name];
  if (Array.isArray(known)) return known;
  const created: JsonValue[] = [];
  fields[name] = created;
  return created;
}

function decodeMessage(context: DecodeContext, field: FieldType, target: JsonObject): void {
  if (field.type === undefined) return;
  const outerEnd = context.reader.enter();
  context.depth++;
  decodeFields(context, field.type, target);
  context.depth--;
  context.reader.leave(outerEnd);
}

function decodeListItem(context: DecodeContext, field: FieldType, wireType: number, list: JsonValue[]): void {
  const { reader } = context;
  if (field.value === 'object') {
    expectWireType(reader, field, wireType, wireBytes);
    const item: JsonObject = {};
    decodeMessage(context, field, item);
    list.push(item);
    return;
  }
  const want = wireTypes[field.value];
  if (wireType === wireBytes && want !== wireBytes) {
    // Packed, as proto3 writers send repeated numbers.
    const outerEnd = reader.enter();
    while (reader.position < reader.end) list.push(decodeBuiltin(context, field.value));
    reader.leave(outerEnd);
    return;
  }
  expectWireType(reader, field, wireType, want);
  list.push(decodeBuiltin(context, field.value));
}

function decodeMapEntry(context: DecodeContext, field: FieldType, map: JsonObject): void {
  const { reader } = context;
  const outerEnd = reader.enter();
  let key = '';
  let value: JsonValue = field.value === 'object' ? {} : (zeroMapValues[field.value] ?? null);
  while (reader.position < reader.end) {
    const tag = reader.tag();
    if (tag >>> 3 === 1) {
      if ((tag & 7) !== wireBytes) throw reader.fail(`a key of ${field.name} is no string`);
      key = reader.string();
    } else if (tag >>> 3 !== 2) reader.skip(tag & 7);
    else if (field.value === 'object') {
      expectWireType(reader, field, tag & 7, wireBytes);
      const item: JsonObject = {};
      decodeMessage(context, field, item);
      value = item;
    } else {
      expectWireType(reader, field, tag & 7, wireTypes[field.value]);
      value = decodeBuiltin(context, field.value);
    }
  }
  setOwn(map, key, value);
  reader.leave(outerEnd);
}

function decodeBuiltin(context: DecodeContext, builtin: BuiltinType): JsonValue {
  const { reader } = context;
  switch (builtin) {
    case 'string':
      return reader.string();
    case 'bool':
      return reader.bool();
    case 'int32':
      return reader.int32();
    case 'int64': {
      const value = reader.int64();
      if (!Number.isSafeInteger(value)) context.onLoss?.({ kind: 'rounded-integer' });
      return value;
    }
    case 'double':
      return finite(reader, reader.double());
    case 'bytes':
      return reader.base64();
    default: {
      const outerEnd = reader.enter();
      const value = decodeStruct(context, builtin);
      reader.leave(outerEnd);
      return value;
    }
  }
}

function finite(reader: WireReader, value: number): number {
  if (!Number.isFinite(value)) throw reader.fail('a number is infinite or not a number');
  return value;
}

/** Calls `onField` for every field number it wants; the rest is passed over. */
function eachField(reader: WireReader, onField: (number: number, wireType: number) => boolean): void {
  while (reader.position < reader.end) {
    const tag = reader.tag();
    if (!onField(tag >>> 3, tag & 7)) reader.skip(tag & 7);
  }
}

function decodeStruct(context: DecodeContext, builtin: BuiltinType): JsonValue {
  const { reader } = context;
  switch (builtin) {
    case 'time':
    case 'microTime':
      return decodeTime(reader, builtin);
    case 'duration':
      return decodeDuration(reader);
    case 'quantity':
      return decodeQuantity(reader);
    case 'intOrString':
      return decodeIntOrString(reader);
    case 'strings':
      return decodeStrings(reader);
    default:
      return decodeRaw(context);
  }
}

function decodeTime(reader: WireReader, builtin: 'time' | 'microTime'): JsonValue {
  if (reader.position === reader.end) return null;
  let seconds = 0;
  let nanos = 0;
  eachField(reader, (number, wireType) => {
    if (wireType !== wireVarint) return false;
    if (number === 1) seconds = reader.int64();
    else if (number === 2) nanos = reader.int32();
    else return false;
    return true;
  });
  if (!isRepresentableTime(seconds)) throw reader.fail('a time lies outside the years 1 to 9999');
  if (builtin === 'time') return seconds === zeroTimeSeconds ? null : formatSeconds(seconds);
  if (nanos < 0 || nanos > 999_999_999)
    throw reader.fail('nanoseconds of a time lie outside 0 to 999,999,999');
  return seconds === zeroTimeSeconds && nanos < 1000 ? null : formatMicros({ seconds, nanos });
}

function decodeDuration(reader: WireReader): JsonValue {
  let nanos = 0n;
  eachField(reader, (number, wireType) => {
    if (number !== 1 || wireType !== wireVarint) return false;
    nanos = reader.bigInt64();
    return true;
  });
  return formatDuration(nanos);
}

function decodeQuantity(reader: WireReader): JsonValue {
  let text = '0';
  eachField(reader, (number, wireType) => {
    if (number !== 1 || wireType !== wireBytes) return false;
    text = reader.string();
    return true;
  });
  const parsed = canonicalQuantity(text);
  if ('problem' in parsed) throw reader.fail(`a quantity cannot be parsed (${parsed.problem})`);
  return parsed.canonical;
}

function decodeIntOrString(reader: WireReader): JsonValue {
  let kind = 0;
  let integer = 0;
  let text = '';
  eachField(reader, (number, wireType) => {
    if (number === 1 && wireType === wireVarint) kind = reader.int64();
    else if (number === 2 && wireType === wireVarint) integer = reader.int32();
    else if (number === 3 && wireType === wireBytes) text = reader.string();
    else return false;
    return true;
  });
  if (kind === 0) return integer;
  if (kind === 1) return text;
  throw reader.fail('a number-or-string is neither');
}

function decodeStrings(reader: WireReader): JsonValue {
  const items: JsonValue[] = [];
  eachField(reader, (number, wireType) => {
    if (number !== 1 || wireType !== wireBytes) return false;
    items.push(reader.string());
    return true;
  });
  return items.length === 0 ? null : items;
}

function decodeRaw(context: DecodeContext): JsonValue {
  const { reader } = context;
  let raw: Buffer | undefined;
  eachField(reader, (number, wireType) => {
    if (number !== 1 || wireType !== wireBytes) return false;
    raw = reader.slice();
    return true;
  });
  return raw === undefined || raw.length === 0 ? null : context.readEmbedded(raw, context.depth + 1);
}
