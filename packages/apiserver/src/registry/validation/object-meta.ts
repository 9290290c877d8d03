/**
 * The rules every object's metadata keeps.
 *
 * Source of the rule: k8s.io/apimachinery `api/validation/objectmeta.go` (ValidateObjectMetaAccessor and
 * ValidateObjectMetaAccessorUpdate) and `apis/meta/v1/validation` (labels).
 */
import { isDeepStrictEqual } from 'node:util';
import type { ObjectMeta, OwnerReference } from '@waxseal/api-types';
import { forbiddenField, invalidValue, required, tooLong, type FieldError } from './field-error.js';
import { labelValueErrors, nameIsDnsLabel, qualifiedNameErrors, type NameRule } from './names.js';

/** Keys and values of all annotations together. */
const MAX_ANNOTATIONS_BYTES = 256 * 1024;

export const ORPHAN_FINALIZER = 'orphan';
export const FOREGROUND_FINALIZER = 'foregroundDeletion';

const IMMUTABLE = 'field is immutable';

export function validateObjectMeta(meta: ObjectMeta, namespaced: boolean, nameRule: NameRule): FieldError[] {
  const errors: FieldError[] = [];
  if (meta.generateName !== undefined && meta.generateName !== '') {
    for (const message of nameRule(meta.generateName, true)) {
      errors.push(invalidValue('metadata.generateName', meta.generateName, message));
    }
  }
  if (meta.name === undefined || meta.name === '') {
    errors.push(required('metadata.name', 'name or generateName is required'));
  } else {
    for (const message of nameRule(meta.name, false)) {
      errors.push(invalidValue('metadata.name', meta.name, message));
    }
  }
  errors.push(...validateNamespaceField(meta, namespaced));
  if ((meta.generation ?? 0) < 0) {
    errors.push(invalidValue('metadata.generation', meta.generation, 'must be greater than or equal to 0'));
  }
  errors.push(
    ...validateLabels(meta.labels, 'metadata.labels'),
    ...validateAnnotations(meta.annotations),
    ...validateOwnerReferences(meta.ownerReferences),
    ...validateFinalizers(meta.finalizers),
  );
  return errors;
}

/** What an update may not change; `meta` is completed already (uid, timestamps and generation taken over). */
export function validateObjectMetaUpdate(meta: ObjectMeta, old: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  if (old.deletionTimestamp !== undefined) {
    const added = (meta.finalizers ?? []).filter((f) => !(old.finalizers ?? []).includes(f));
    if (added.length > 0) {
      const list = [...new Set(added)].toSorted().map((f) => JSON.stringify(f));
      errors.push(
        forbiddenField(
          'metadata.finalizers',
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list.join(', ')}}`,
        ),
      );
    }
  }
  const immutable = [
    'name',
    'namespace',
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
  ] as const;
  for (const field of immutable) {
    if (!isDeepStrictEqual(meta[field], old[field])) {
      errors.push(invalidValue(`metadata.${field}`, meta[field], IMMUTABLE));
    }
  }
  return errors;
}

function validateLabels(labels: Record<string, string> | undefined, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const key in labels) {
    const value = labels[key] as string;
    for (const message of qualifiedNameErrors(key)) errors.push(invalidValue(field, key, message));
    for (const message of labelValueErrors(value)) errors.push(invalidValue(field, value, message));
  }
  return errors;
}

function validateNamespaceField(meta: ObjectMeta, namespaced: boolean): FieldError[] {
  const namespace = meta.namespace ?? '';
  if (!namespaced) {
    return namespace === '' ? [] : [forbiddenField('metadata.namespace', 'not allowed on this type')];
  }
  if (namespace === '') return [required('metadata.namespace')];
  return nameIsDnsLabel(namespace, false).map((m) => invalidValue('metadata.namespace', namespace, m));
}

function validateAnnotations(annotations: Record<string, string> | undefined): FieldError[] {
  const errors: FieldError[] = [];
  let totalBytes = 0;
  for (const key in annotations) {
    // Unlike a label key, an annotation key may have upper-case letters in its prefix.
    for (const message of qualifiedNameErrors(key.toLowerCase())) {
      errors.push(invalidValue('metadata.annotations', key, message));
    }
    totalBytes += Buffer.byteLength(key) + Buffer.byteLength(annotations[key] as string);
  }
  if (totalBytes > MAX_ANNOTATIONS_BYTES) errors.push(tooLong('metadata.annotations', MAX_ANNOTATIONS_BYTES));
  return errors;
}

function validateOwnerReferences(references: readonly OwnerReference[] | undefined): FieldError[] {
  const field = 'metadata.ownerReferences';
  const errors: FieldError[] = [];
  let controller = '';
  for (const reference of references ?? []) {
    const slash = reference.apiVersion.indexOf('/');
    const version = slash === -1 ? reference.apiVersion : reference.apiVersion.slice(slash + 1);
    if (version === '') {
      errors.push(invalidValue(`${field}.apiVersion`, reference.apiVersion, 'version must not be empty'));
    }
    for (const part of ['kind', 'name', 'uid'] as const) {
      if (reference[part] === '') errors.push(invalidValue(`${field}.${part}`, '', 'must not be empty'));
    }
    if (reference.apiVersion === 'v1' && reference.kind === 'Event') {
      errors.push(invalidValue(field, reference, '/v1, Kind=Event is disallowed from being an owner'));
    }
    if (reference.controller === true) {
      const name = `${reference.kind}/${reference.name}`;
      if (controller === '') controller = name;
      else {
        errors.push(
          invalidValue(
            field,
            references,
            `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${name}`,
          ),
        );
      }
    }
  }
  return errors;
}

function validateFinalizers(finalizers: readonly string[] | undefined): FieldError[] {
  const field = 'metadata.finalizers';
  const errors: FieldError[] = [];
  for (const finalizer of finalizers ?? []) {
    for (const message of qualifiedNameErrors(finalizer)) {
      errors.push(invalidValue(field, finalizer, message));
    }
  }
  if (finalizers?.includes(ORPHAN_FINALIZER) === true && finalizers.includes(FOREGROUND_FINALIZER)) {
    errors.push(
      invalidValue(
        field,
        finalizers,
        `finalizer ${ORPHAN_FINALIZER} and ${FOREGROUND_FINALIZER} cannot be both set`,
      ),
    );
  }
  return errors;
}
