/** ConfigMaps. Source of the rule: kube-apiserver's ConfigMap strategy and validation. */
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '@waxseal/api-types';
import { badRequest } from '../rest/status-errors.js';
import { storedResource } from './definition.js';
import { MAX_SECRET_BYTES } from './secrets.js';
import { strategy, type RegistryEntry } from './strategy.js';
import { forbiddenField, invalidValue, tooLong, type FieldError } from './validation/field-error.js';
import { configKeyErrors, nameIsDnsSubdomain } from './validation/names.js';

const IMMUTABLE = 'field is immutable when `immutable` is set';

function mapOf(object: KubeObject, field: 'data' | 'binaryData'): Record<string, string> {
  return (object[field] ?? {}) as Record<string, string>;
}

/** A null value is an empty one, as Go decodes it. */
function normalise(object: KubeObject): KubeObject {
  const result = { ...object };
  for (const field of ['data', 'binaryData'] as const) {
    const map = mapOf(object, field) as Record<string, string | null>;
    if (Object.values(map).includes(null)) {
      result[field] = Object.fromEntries(Object.entries(map).map(([key, value]) => [key, value ?? '']));
    }
  }
  for (const value of Object.values(mapOf(result, 'binaryData'))) {
    if (value.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) {
      throw badRequest('ConfigMap in version "v1" cannot be handled as a ConfigMap: illegal base64 data');
    }
  }
  return result;
}

function validate(object: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  const data = mapOf(object, 'data');
  const binaryData = mapOf(object, 'binaryData');
  let totalBytes = 0;
  for (const key of Object.keys(data)) {
    for (const message of configKeyErrors(key)) errors.push(invalidValue(`data[${key}]`, key, message));
    if (Object.hasOwn(binaryData, key)) {
      errors.push(invalidValue(`data[${key}]`, key, 'duplicate of key present in binaryData'));
    }
    totalBytes += Buffer.byteLength(data[key] as string);
  }
  for (const key of Object.keys(binaryData)) {
    for (const message of configKeyErrors(key)) {
      errors.push(invalidValue(`binaryData[${key}]`, key, message));
    }
    totalBytes += Buffer.byteLength(binaryData[key] as string, 'base64');
  }
  // The reference names no field here: its path prints as [].
  if (totalBytes > MAX_SECRET_BYTES) errors.push(tooLong('[]', MAX_SECRET_BYTES));
  return errors;
}

function validateUpdate(object: KubeObject, old: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  if (old['immutable'] === true) {
    if (object['immutable'] !== true) errors.push(forbiddenField('immutable', IMMUTABLE));
    for (const field of ['data', 'binaryData'] as const) {
      if (!isDeepStrictEqual(mapOf(object, field), mapOf(old, field))) {
        errors.push(forbiddenField(field, IMMUTABLE));
      }
    }
  }
  return [...errors, ...validate(object)];
}

export const configMaps: RegistryEntry = {
  definition: storedResource({
    kind: 'ConfigMap',
    resource: 'configmaps',
    singular: 'configmap',
    shortNames: ['cm'],
  }),
  strategy: strategy({
    nameRule: nameIsDnsSubdomain,
    prepareForCreate: normalise,
    prepareForUpdate: normalise,
    validate,
    validateUpdate,
  }),
};
