/**
 * Secrets.
 *
 * Source of the rule: kube-apiserver's Secret strategy and validation: required keys by type, 1 MiB of data,
 * `stringData` folded into `data`, immutability. Messages never quote a value of `data`.
 */
import { isDeepStrictEqual } from 'node:util';
import { setOwn, type KubeObject } from '@waxseal/api-types';
import { badRequest } from '../rest/status-errors.js';
import { storedResource } from './definition.js';
import { strategy, type RegistryEntry } from './strategy.js';
import {
  forbiddenField,
  invalidValue,
  required,
  tooLong,
  type FieldError,
} from './validation/field-error.js';
import { configKeyErrors, nameIsDnsSubdomain } from './validation/names.js';

/** Decoded values of `data` together. */
export const MAX_SECRET_BYTES = 1024 * 1024;

const IMMUTABLE = 'field is immutable when `immutable` is set';

/** Keys that must be there, by type. */
const REQUIRED_KEYS: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

type Data = Record<string, string>;

function dataOf(object: KubeObject): Data {
  return (object['data'] ?? {}) as Data;
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Checks base64 as Go's decoder does (newlines are skipped) and returns it without newlines. */
function checkBase64(value: string): string {
  const text = value.includes('\n') || value.includes('\r') ? value.replaceAll(/[\r\n]/g, '') : value;
  if (text.length % 4 === 0 && BASE64.test(text)) return text;
  const bad = text.search(/[^A-Za-z0-9+/]/);
  const at = bad === -1 ? text.length - (text.length % 4) : bad;
  throw badRequest(
    `Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte ${at}`,
  );
}

function decodedBytes(base64: string): number {
  return Buffer.byteLength(base64, 'base64');
}

/** Defaults the type, folds stringData into data, and checks that every value is base64. */
function normalise(object: KubeObject): KubeObject {
  const { stringData, data, type, ...rest } = object;
  const folded: Data = {};
  for (const [key, value] of Object.entries((data ?? {}) as Record<string, string | null>)) {
    setOwn(folded, key, value === null ? '' : checkBase64(value));
  }
  for (const [key, value] of Object.entries((stringData ?? {}) as Data)) {
    setOwn(folded, key, Buffer.from(value ?? '').toString('base64'));
  }
  return {
    ...rest,
    ...(data === undefined && stringData === undefined ? {} : { data: folded }),
    // Last: `endsWithType` looks there.
    type: isUnset(type) ? 'Opaque' : type,
  };
}

function isUnset(type: unknown): boolean {
  return type === undefined || type === '' || type === null;
}

const TYPE_FIELD = Buffer.from('"type":"');
const QUOTE = 0x22;
const BRACE_CLOSE = 0x7d;

/**
 * True when the JSON ends in `"type":"…"}`, as all that is written here does. The brace closes the whole object, so the
 * type is the Secret's; within a string the pattern cannot occur, its quotes would be escaped.
 */
function endsWithType(stored: Buffer): boolean {
  const end = stored.length;
  if (stored[end - 1] !== BRACE_CLOSE || stored[end - 2] !== QUOTE) return false;
  const start = stored.lastIndexOf(QUOTE, end - 3);
  // An empty type begins where it ends.
  if (start < TYPE_FIELD.length || start === end - 3) return false;
  return stored.subarray(start + 1 - TYPE_FIELD.length, start + 1).equals(TYPE_FIELD);
}

function isJsonObject(base64: string): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(base64, 'base64').toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

function validateType(object: KubeObject, data: Data): FieldError[] {
  const type = object['type'] as string;
  const missing = (key: string): FieldError => required(`data[${key}]`);
  const requiredKeys = Object.hasOwn(REQUIRED_KEYS, type) ? (REQUIRED_KEYS[type] as readonly string[]) : [];
  const errors = requiredKeys.filter((key) => !Object.hasOwn(data, key)).map(missing);
  switch (type) {
    case 'kubernetes.io/service-account-token': {
      const annotation = 'kubernetes.io/service-account.name';
      if ((object.metadata.annotations?.[annotation] ?? '') === '') {
        errors.push(required(`metadata.annotations[${annotation}]`));
      }
      break;
    }
    case 'kubernetes.io/dockercfg':
    case 'kubernetes.io/dockerconfigjson': {
      const key = requiredKeys[0] as string;
      const value = data[key];
      if (value !== undefined && !isJsonObject(value)) {
        errors.push(invalidValue(`data[${key}]`, '<secret contents redacted>', 'must be a JSON object'));
      }
      break;
    }
    case 'kubernetes.io/basic-auth':
      if (!Object.hasOwn(data, 'username') && !Object.hasOwn(data, 'password')) {
        errors.push(missing('username'), missing('password'));
      }
      break;
    case 'kubernetes.io/ssh-auth':
      if ((data['ssh-privatekey'] ?? '') === '') errors.push(missing('ssh-privatekey'));
      break;
    default:
  }
  return errors;
}

function validate(object: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  const data = dataOf(object);
  let totalBytes = 0;
  for (const key of Object.keys(data)) {
    for (const message of configKeyErrors(key)) errors.push(invalidValue(`data[${key}]`, key, message));
    totalBytes += decodedBytes(data[key] as string);
  }
  if (totalBytes > MAX_SECRET_BYTES) errors.push(tooLong('data', MAX_SECRET_BYTES));
  errors.push(...validateType(object, data));
  return errors;
}

function validateUpdate(object: KubeObject, old: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  if (object['type'] !== old['type']) {
    errors.push(invalidValue('type', object['type'], 'field is immutable'));
  }
  if (old['immutable'] === true) {
    if (object['immutable'] !== true) errors.push(forbiddenField('immutable', IMMUTABLE));
    if (!isDeepStrictEqual(dataOf(object), dataOf(old))) errors.push(forbiddenField('data', IMMUTABLE));
  }
  return [...errors, ...validate(object)];
}

export const secrets: RegistryEntry = {
  definition: storedResource({
    kind: 'Secret',
    resource: 'secrets',
    singular: 'secret',
    storedDefaults: {
      present: endsWithType,
      fill(object) {
        if (isUnset(object['type'])) object['type'] = 'Opaque';
      },
    },
  }),
  strategy: strategy({
    nameRule: nameIsDnsSubdomain,
    prepareForCreate: normalise,
    prepareForUpdate: normalise,
    validate,
    validateUpdate,
    selectableFields: { type: (object) => (object['type'] as string | undefined) ?? '' },
  }),
};
