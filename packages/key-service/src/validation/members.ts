/**
 * Request members: read from JSON, checked against the constraints of AWS's model, refused in AWS's words.
 *
 * A member of the wrong JSON type is a SerializationException at once. Broken constraints are collected, so that one
 * ValidationException names them all, as AWS's does.
 */
import { AwsError } from '../aws-error.js';
import { isJsonObject, type JsonObject } from '../http/json-body.js';

export interface Member<T> {
  /** True: AWS says of it that it is missing without saying `null`. */
  readonly sensitive?: boolean;
  /** @param path as AWS names it, e.g. `keyId`, `tags.1.member.tagKey`; broken constraints are added to `violations` */
  read(value: unknown, path: string, violations: string[]): T;
}

export interface RequiredMember<T> extends Member<T> {
  readonly required: true;
}

export type Members = Readonly<Record<string, Member<unknown> | RequiredMember<unknown>>>;

/** What reading a request gives: required members are there, the others may not be. */
export type InputOf<M extends Members> = {
  readonly [Name in keyof M]: M[Name] extends RequiredMember<infer T>
    ? T
    : M[Name] extends Member<infer T>
      ? T | undefined
      : never;
};

export function required<T>(member: Member<T>): RequiredMember<T> {
  return {
    required: true,
    ...(member.sensitive === undefined ? {} : { sensitive: member.sensitive }),
    read: (value, path, violations) => member.read(value, path, violations),
  };
}

/**
 * Reads a structure; members it does not know are ignored, as AWS ignores them.
 *
 * @throws AwsError SerializationException, ValidationException
 */
export function readInput<M extends Members>(members: M, body: JsonObject): InputOf<M> {
  const violations: string[] = [];
  const input = readMembers(members, body, '', violations);
  if (violations.length > 0) throw validationErrors(violations);
  return input;
}

function readMembers<M extends Members>(
  members: M,
  body: JsonObject,
  prefix: string,
  violations: string[],
): InputOf<M> {
  const input: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const name in members) {
    const member = members[name] as Member<unknown> | RequiredMember<unknown>;
    const value = Object.hasOwn(body, name) ? body[name] : undefined;
    const path = prefix + lowerFirst(name);
    if (value !== undefined && value !== null) input[name] = member.read(value, path, violations);
    else if ('required' in member) {
      const shown = member.sensitive === true ? 'Value' : 'Value null';
      violations.push(`${shown} at '${path}' failed to satisfy constraint: Member must not be null`);
    }
  }
  // Each member's reader gives the type the mapped type says; TypeScript cannot see that through the loop.
  return input as InputOf<M>;
}

/** For members whose being required depends on others. */
export function memberMissing(path: string): AwsError {
  return validationErrors([`Value null at '${path}' failed to satisfy constraint: Member must not be null`]);
}

function validationErrors(violations: readonly string[]): AwsError {
  const many = violations.length === 1 ? '1 validation error' : `${violations.length} validation errors`;
  return new AwsError('ValidationException', `${many} detected: ${violations.join('; ')}`);
}

export function lowerFirst(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

interface StringConstraints {
  readonly min?: number;
  readonly max?: number;
  /** Matches the whole text; `patternText` is how AWS prints it. */
  readonly pattern?: RegExp;
  readonly patternText?: string;
}

/** At most this much of a caller's text is repeated in an error. */
const MAX_ECHO = 2048;

export function string(constraints: StringConstraints = {}): Member<string> {
  const { min = 0, max = Number.POSITIVE_INFINITY, pattern, patternText } = constraints;
  return {
    read(value, path, violations) {
      if (typeof value !== 'string') throw wrongType(value, 'a String');
      if (value.length < min || value.length > max || (pattern !== undefined && !pattern.test(value))) {
        const echo = value.length > MAX_ECHO ? `${value.slice(0, MAX_ECHO)}...` : value;
        const broken = (rule: string): void => {
          violations.push(`Value '${echo}' at '${path}' failed to satisfy constraint: ${rule}`);
        };
        if (value.length < min) broken(`Member must have length greater than or equal to ${min}`);
        if (value.length > max) broken(`Member must have length less than or equal to ${max}`);
        if (pattern !== undefined && !pattern.test(value)) {
          broken(`Member must satisfy regular expression pattern: ${patternText ?? pattern.source}`);
        }
      }
      return value;
    },
  };
}

/**
 * A text that must not be repeated: read as bytes, which errors and audit records leave out and who uses them can zero.
 *
 * @param constraints lengths in characters
 */
export function secretString({ min, max }: { readonly min: number; readonly max: number }): Member<Buffer> {
  return {
    sensitive: true,
    read(value, path, violations) {
      if (typeof value !== 'string') throw wrongType(value, 'a String');
      const rule =
        value.length < min
          ? `greater than or equal to ${min}`
          : value.length > max
            ? `less than or equal to ${max}`
            : undefined;
      if (rule !== undefined) {
        violations.push(`Value at '${path}' failed to satisfy constraint: Member must have length ${rule}`);
      }
      return Buffer.from(value);
    },
  };
}

/** A member whose presence is all that counts. */
export const presence: Member<true> = { read: () => true };

/** @param options.printed what a refusal lists, where AWS lists something else than what it accepts */
export function enumeration<const T extends string>(
  values: readonly T[],
  { printed = values }: { readonly printed?: readonly string[] } = {},
): Member<T> {
  return {
    read(value, path, violations) {
      if (typeof value !== 'string') throw wrongType(value, 'a String');
      const found = values.find((one) => one === value);
      if (found === undefined) {
        violations.push(
          `Value '${value.slice(0, MAX_ECHO)}' at '${path}' failed to satisfy constraint: Member must satisfy enum value set: [${printed.join(', ')}]`,
        );
        // Never seen by a handler: a violation ends the call.
        return values[0] as T;
      }
      return found;
    },
  };
}

export function integer(min: number, max: number): Member<number> {
  return {
    read(value, path, violations) {
      if (typeof value !== 'number') throw wrongType(value, 'an Integer');
      const whole = Math.trunc(value);
      if (whole < min) {
        violations.push(
          `Value '${whole}' at '${path}' failed to satisfy constraint: Member must have value greater than or equal to ${min}`,
        );
      } else if (whole > max) {
        violations.push(
          `Value '${whole}' at '${path}' failed to satisfy constraint: Member must have value less than or equal to ${max}`,
        );
      }
      return whole;
    },
  };
}

export const boolean: Member<boolean> = {
  read(value) {
    if (typeof value !== 'boolean') throw wrongType(value, 'a Boolean');
    return value;
  },
};

/** A date: seconds since the epoch, with a fraction, as JSON 1.1 writes it. Read as milliseconds. */
export const timestamp: Member<number> = {
  read(value) {
    if (typeof value !== 'number') throw wrongType(value, 'milliseconds since epoch');
    return Math.round(value * 1000);
  },
};

interface BlobConstraints {
  readonly min: number;
  readonly max: number;
  /** AWS leaves the value of a sensitive member out of its errors; of some only when there is one. */
  readonly sensitive?: boolean | 'when-present';
}

export function blob({ min, max, sensitive = false }: BlobConstraints): Member<Buffer> {
  return {
    sensitive: sensitive === true,
    read(value, path, violations) {
      if (typeof value !== 'string') throw wrongType(value, 'a Blob');
      const bytes = Buffer.from(value, 'base64');
      // Node skips what is not base64; only text that encodes back to itself was base64.
      if (bytes.length !== decodedLength(value) || bytes.toString('base64') !== value) {
        throw new AwsError('SerializationException');
      }
      if (bytes.length < min || bytes.length > max) {
        const size = bytes.length;
        const shown =
          sensitive !== false ? 'Value' : `Value 'java.nio.HeapByteBuffer[pos=0 lim=${size} cap=${size}]'`;
        const rule = size < min ? `greater than or equal to ${min}` : `less than or equal to ${max}`;
        violations.push(
          `${shown} at '${path}' failed to satisfy constraint: Member must have length ${rule}`,
        );
      }
      return bytes;
    },
  };
}

function decodedLength(base64: string): number {
  const padding = base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0;
  return (base64.length / 4) * 3 - padding;
}

export function list<T>(item: Member<T>, min = 0, max = Number.POSITIVE_INFINITY): Member<readonly T[]> {
  return {
    read(value, path, violations) {
      if (!Array.isArray(value)) throw wrongType(value, 'a List');
      const items: readonly unknown[] = value;
      if (items.length < min || items.length > max) {
        const rule = items.length < min ? `greater than or equal to ${min}` : `less than or equal to ${max}`;
        violations.push(
          `Value '[${items.length} items]' at '${path}' failed to satisfy constraint: Member must have length ${rule}`,
        );
        return [];
      }
      return items.map((one, index) => {
        if (one === null) throw new AwsError('SerializationException');
        return item.read(one, `${path}.${index + 1}.member`, violations);
      });
    },
  };
}

export function structure<M extends Members>(members: M): Member<InputOf<M>> {
  return {
    read(value, path, violations) {
      if (!isJsonObject(value)) throw wrongType(value, 'a Structure');
      return readMembers(members, value, `${path}.`, violations);
    },
  };
}

/** A map of strings to strings. */
export function stringMap(maxBytes: number): Member<Readonly<Record<string, string>>> {
  return {
    read(value, path, violations) {
      if (!isJsonObject(value)) throw wrongType(value, 'a Map');
      let bytes = 0;
      const map: Record<string, string> = Object.create(null) as Record<string, string>;
      for (const [key, text] of Object.entries(value)) {
        if (typeof text !== 'string') throw wrongType(text, 'a String');
        bytes += Buffer.byteLength(key) + Buffer.byteLength(text);
        map[key] = text;
      }
      if (bytes > maxBytes) {
        violations.push(
          `Value at '${path}' failed to satisfy constraint: Member must have length less than or equal to ${maxBytes}`,
        );
      }
      return map;
    },
  };
}

/** What containers say to a scalar in their place. */
const CONTAINERS: ReadonlyMap<string, string> = new Map([
  ['a List', 'Expected list or null'],
  ['a Map', 'Expected map or null'],
  ['a Structure', 'Expected null'],
]);

/** The sentence names what was found and what was wanted, never the value. */
function wrongType(value: unknown, wanted: string): AwsError {
  if (Array.isArray(value)) {
    return new AwsError('SerializationException', 'Start of list found where not expected');
  }
  if (typeof value === 'object' && value !== null) {
    return new AwsError('SerializationException', 'Start of structure or map found where not expected.');
  }
  const found =
    typeof value === 'string'
      ? 'STRING_VALUE'
      : typeof value === 'number'
        ? 'NUMBER_VALUE'
        : value === true
          ? 'TRUE_VALUE'
          : value === false
            ? 'FALSE_VALUE'
            : 'NULL_VALUE';
  return new AwsError(
    'SerializationException',
    CONTAINERS.get(wanted) ?? `${found} can not be converted to ${wanted}`,
  );
}
