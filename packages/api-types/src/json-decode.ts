/**
 * Reads a JSON object as a Kubernetes type, as Go's decoder does: what no field takes is reported and dropped, what
 * has the wrong type is reported, the rest comes out in canonical form.
 *
 * Source of the rules: sigs.k8s.io/json (case-sensitive, strict field paths) and the `UnmarshalJSON` methods of
 * Time, MicroTime, Duration, Quantity, IntOrString, RawExtension and FieldsV1.
 */
import type { JsonObject, JsonValue } from './object.js';
import { completeInto, isJsonObject, setOwn } from './complete.js';
import { canonicalQuantity, type QuantityProblem } from './quantity.js';
import {
  formatDuration,
  formatMicros,
  formatSeconds,
  hasMicros,
  parseDuration,
  parseRfc3339,
  zeroTimeSeconds,
} from './time.js';
import type { FieldType, ObjectType } from './types.js';

interface InvalidField {
  /** Path, e.g. `spec.containers[0].image`. */
  readonly field: string;
  /** As a Go decoder words it; never holds the value. */
  readonly message: string;
}

export interface DecodedObject {
  /** In canonical form: dates in UTC, quantities reduced, nulls and unknown fields gone, zero values as Go prints them. */
  readonly object: JsonObject;
  /** Paths of fields the type does not have, at most 100. */
  readonly unknown: string[];
  readonly invalid: InvalidField[];
}

const maxProblems = 100;

const quantityMessages: Readonly<Record<QuantityProblem, string>> = {
  format: "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  numeric: 'unable to parse numeric part of quantity',
  suffix: "unable to parse quantity's suffix",
};

/** @param object a body of that type; apiVersion and kind are taken as they are */
export function decodeJsonObject(type: ObjectType, object: JsonObject): DecodedObject {
  const decoder = new JsonDecoder();
  const { kind, apiVersion, ...rest } = object;
  const result: JsonObject = {};
  if (type.isKind) {
    decoder.identity(result, 'kind', kind);
    decoder.identity(result, 'apiVersion', apiVersion);
  }
  completeInto(result, type, decoder.object(type, type.isKind ? rest : object, ''));
  return { object: result, unknown: decoder.unknown, invalid: decoder.invalid };
}

function describe(value: JsonValue): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

class JsonDecoder {
  readonly unknown: string[] = [];
  readonly invalid: InvalidField[] = [];
  /** Struct fields only: Go leaves out indexes and map keys. */
  readonly #goPath: string[] = [];

  identity(result: JsonObject, name: string, value: JsonValue | undefined): void {
    if (typeof value === 'string') result[name] = value;
    else if (value !== undefined && value !== null) this.#mismatch(name, value, 'TypeMeta', 'string');
  }

  object(type: ObjectType, source: JsonObject, path: string): JsonObject {
    const fields: JsonObject = {};
    const known = type.fieldsByName;
    for (const name of Object.keys(source)) {
      const value = source[name];
      const field = known.get(name);
      if (field === undefined) {
        if (this.unknown.length < maxProblems && !(type.isKind && path !== '' && isIdentity(name))) {
          this.unknown.push(join(path, name));
        }
        continue;
      }
      if (value === null || value === undefined) {
        // Go's null leaves the zero value; only maps, lists and pointers could tell the difference, and print it alike.
        continue;
      }
      this.#goPath.push(name);
      const decoded = this.#field(type, field, value, join(path, name));
      this.#goPath.pop();
      if (decoded !== undefined) fields[name] = decoded;
    }
    return fields;
  }

  #field(owner: ObjectType, field: FieldType, value: JsonValue, path: string): JsonValue | undefined {
    if (field.shape === 'list') return this.#list(owner, field, value, path);
    if (field.shape === 'map') return this.#map(owner, field, value, path);
    return this.#value(owner, field, value, path);
  }

  #list(owner: ObjectType, field: FieldType, value: JsonValue, path: string): JsonValue | undefined {
    if (!Array.isArray(value)) return this.#mismatch(path, value, owner.name, `[]${goName(field)}`);
    return value.map((item, index) => this.#element(owner, field, item, `${path}[${index}]`));
  }

  #map(owner: ObjectType, field: FieldType, value: JsonValue, path: string): JsonValue | undefined {
    if (!isJsonObject(value)) return this.#mismatch(path, value, owner.name, `map[string]${goName(field)}`);
    const result: JsonObject = {};
    for (const key of Object.keys(value)) {
      setOwn(result, key, this.#element(owner, field, value[key] ?? null, `${path}.${key}`));
    }
    return result;
  }

  /** Null elements become zero values; those of byte slices and raw JSON stay null. */
  #element(owner: ObjectType, field: FieldType, value: JsonValue, path: string): JsonValue {
    if (value === null) return field.value === 'object' ? {} : (zeroElements.get(field.value) ?? null);
    return this.#value(owner, field, value, path) ?? null;
  }

  #value(owner: ObjectType, field: FieldType, value: JsonValue, path: string): JsonValue | undefined {
    switch (field.value) {
      case 'object':
        if (!isJsonObject(value) || field.type === undefined) {
          return this.#mismatch(path, value, owner.name, goName(field));
        }
        return this.object(field.type, value, path);
      case 'bool':
        return typeof value === 'boolean' ? value : this.#mismatch(path, value, owner.name, 'bool');
      case 'double':
        return typeof value === 'number' ? value : this.#mismatch(path, value, owner.name, 'float64');
      case 'int32':
      case 'int64':
        return this.#integer(owner, field.value, value, path);
      case 'intOrString':
        return this.#intOrString(owner, value, path);
      case 'quantity':
        return this.#quantity(value, path);
      case 'strings':
        return this.#strings(owner, value, path);
      case 'rawExtension':
      case 'fieldsV1':
        return value;
      default:
        return this.#text(owner, field, value, path);
    }
  }

  #text(owner: ObjectType, field: FieldType, value: JsonValue, path: string): JsonValue | undefined {
    if (typeof value !== 'string') return this.#mismatch(path, value, owner.name, goName(field));
    switch (field.value) {
      case 'bytes':
        return this.#bytes(value, path);
      case 'time':
      case 'microTime':
        return this.#time(field.value, value, path);
      case 'duration': {
        const nanos = parseDuration(value);
        return nanos === undefined ? this.#fail(path, 'time: invalid duration') : formatDuration(nanos);
      }
      default:
        return value;
    }
  }

  #bytes(value: string, path: string): JsonValue | undefined {
    const bad = illegalBase64At(value);
    if (bad !== undefined) return this.#fail(path, `illegal base64 data at input byte ${bad}`);
    return value.includes('\n') || value.includes('\r') ? value.replace(/[\r\n]/g, '') : value;
  }

  #time(kind: 'time' | 'microTime', value: string, path: string): JsonValue | undefined {
    const instant = kind === 'microTime' && !hasMicros(value) ? undefined : parseRfc3339(value);
    if (instant === undefined) {
      const layout = kind === 'time' ? '2006-01-02T15:04:05Z07:00' : '2006-01-02T15:04:05.000000Z07:00';
      return this.#fail(path, `parsing time: the value does not match "${layout}"`);
    }
    if (instant.seconds === zeroTimeSeconds && instant.nanos === 0) return null;
    return kind === 'time' ? formatSeconds(instant.seconds) : formatMicros(instant);
  }

  #integer(
    owner: ObjectType,
    kind: 'int32' | 'int64',
    value: JsonValue,
    path: string,
  ): JsonValue | undefined {
    const limit = kind === 'int32' ? 0x8000_0000 : 2 ** 63;
    const fits = typeof value === 'number' && Number.isInteger(value) && value >= -limit && value < limit;
    return fits ? value : this.#mismatch(path, value, owner.name, kind);
  }

  #intOrString(owner: ObjectType, value: JsonValue, path: string): JsonValue | undefined {
    return typeof value === 'string' ? value : this.#integer(owner, 'int32', value, path);
  }

  #quantity(value: JsonValue, path: string): JsonValue | undefined {
    if (typeof value !== 'string' && typeof value !== 'number')
      return this.#fail(path, quantityMessages.format);
    const parsed = canonicalQuantity(String(value).trim());
    return 'problem' in parsed ? this.#fail(path, quantityMessages[parsed.problem]) : parsed.canonical;
  }

  #strings(owner: ObjectType, value: JsonValue, path: string): JsonValue | undefined {
    if (!Array.isArray(value)) return this.#mismatch(path, value, owner.name, '[]string');
    return value.map((item, index) => {
      if (item === null) return '';
      return typeof item === 'string'
        ? item
        : (this.#mismatch(`${path}[${index}]`, item, owner.name, 'string') ?? '');
    });
  }

  #mismatch(path: string, value: JsonValue, owner: string, goType: string): undefined {
    // Go shows a number that an integer cannot hold, and no other value.
    const shown = typeof value === 'number' && goType.startsWith('int') ? `number ${value}` : describe(value);
    const field = this.#goPath.length === 0 ? path : this.#goPath.join('.');
    return this.#fail(
      path,
      `json: cannot unmarshal ${shown} into Go struct field ${owner}.${field} of type ${goType}`,
    );
  }

  #fail(field: string, message: string): undefined {
    if (this.invalid.length < maxProblems) this.invalid.push({ field, message });
    return undefined;
  }
}

const zeroElements: ReadonlyMap<string, JsonValue> = new Map<string, JsonValue>([
  ['string', ''],
  ['bool', false],
  ['int32', 0],
  ['int64', 0],
  ['double', 0],
  ['quantity', '0'],
  ['duration', '0s'],
  ['intOrString', 0],
]);

function isIdentity(name: string): boolean {
  return name === 'kind' || name === 'apiVersion';
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function goName(field: FieldType): string {
  switch (field.value) {
    case 'object':
      return field.type === undefined ? 'struct' : `${field.type.version}.${field.type.name}`;
    case 'bytes':
      return '[]uint8';
    case 'double':
      return 'float64';
    case 'time':
    case 'microTime':
    case 'duration':
      return 'string';
    default:
      return field.value;
  }
}

/** Go's standard encoding: padded, line breaks allowed, nothing else. The offset of the first illegal byte. */
function illegalBase64At(text: string): number | undefined {
  if (text.length % 4 === 0 && canonicalBase64.test(text)) return undefined;
  let digits = 0;
  let padding = 0;
  for (let index = 0; index < text.length; index++) {
    const char = text[index] ?? '';
    if (char === '\n' || char === '\r') continue;
    if (char === '=') {
      if (digits % 4 < 2 || ++padding > 4 - (digits % 4)) return index;
    } else if (padding > 0 || !/[A-Za-z0-9+/]/.test(char)) return index;
    else digits++;
  }
  return (digits + padding) % 4 === 0 ? undefined : text.length;
}

const canonicalBase64 = /^[A-Za-z0-9+/]*={0,2}$/;
