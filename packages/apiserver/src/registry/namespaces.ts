/**
 * Namespaces and their two extra bodies: `status` and `finalize`.
 *
 * A namespace is Active until it is deleted, then Terminating until everything in it is gone and no finalizer is left
 * in `spec.finalizers`. Source of the rule: kube-apiserver's Namespace strategies and validation.
 */
import type { KubeObject } from '@waxseal/api-types';
import { ALL_VERBS, storedResource } from './definition.js';
import { strategy, type RegistryEntry, type UpdateStrategy } from './strategy.js';
import { invalidValue, type FieldError } from './validation/field-error.js';
import { nameIsDnsLabel, qualifiedNameErrors } from './validation/names.js';

export const NAMESPACE_FINALIZER = 'kubernetes';
const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name';

/** Of a namespace: what must happen before it may go. */
export function specFinalizers(namespace: KubeObject): readonly string[] {
  const spec = namespace['spec'] as { readonly finalizers?: readonly string[] } | undefined;
  return spec?.finalizers ?? [];
}

export function isTerminating(namespace: KubeObject): boolean {
  return namespace.metadata.deletionTimestamp !== undefined || phaseOf(namespace) === 'Terminating';
}

function phaseOf(namespace: KubeObject): string {
  const status = namespace['status'] as { readonly phase?: string } | undefined;
  return status?.phase ?? '';
}

/** Clients select namespaces by name through this label, so it always tells the name. */
function withNameLabel(object: KubeObject): KubeObject {
  const { name } = object.metadata;
  if (name === undefined || name === '') return object;
  const labels = { ...object.metadata.labels, [NAMESPACE_NAME_LABEL]: name };
  return { ...object, metadata: { ...object.metadata, labels } };
}

function validateSpecFinalizers(finalizers: readonly string[]): FieldError[] {
  return finalizers.flatMap((finalizer) => {
    const messages = qualifiedNameErrors(finalizer);
    if (messages.length > 0) {
      return messages.map((m) => invalidValue('spec.finalizers', finalizer, m));
    }
    return finalizer.includes('/') || finalizer === NAMESPACE_FINALIZER
      ? []
      : [
          invalidValue(
            'spec.finalizers',
            finalizer,
            'name is neither a standard finalizer name nor is it fully qualified',
          ),
        ];
  });
}

const status: UpdateStrategy = {
  prepareForUpdate: (object, old) => ({ ...object, spec: old['spec'] }),
  validateUpdate(object) {
    const phase = phaseOf(object);
    const deleting = object.metadata.deletionTimestamp !== undefined;
    if (!deleting && phase !== 'Active') {
      return [invalidValue('status.Phase', phase, "may only be 'Active' if `deletionTimestamp` is empty")];
    }
    if (deleting && phase !== 'Terminating') {
      return [
        invalidValue('status.Phase', phase, "may only be 'Terminating' if `deletionTimestamp` is not empty"),
      ];
    }
    return [];
  },
};

const finalize: UpdateStrategy = {
  prepareForUpdate: (object, old) => ({ ...object, status: old['status'] }),
  validateUpdate: (object) => validateSpecFinalizers(specFinalizers(object)),
};

export const namespaces: RegistryEntry = {
  definition: storedResource({
    kind: 'Namespace',
    resource: 'namespaces',
    singular: 'namespace',
    shortNames: ['ns'],
    namespaced: false,
    verbs: ALL_VERBS.filter((verb) => verb !== 'deletecollection'),
    subresources: [
      { name: 'finalize', kind: 'Namespace', verbs: ['update'] },
      { name: 'status', kind: 'Namespace', verbs: ['get', 'patch', 'update'] },
    ],
  }),
  strategy: strategy({
    nameRule: nameIsDnsLabel,
    prepareForCreate(object) {
      const finalizers = specFinalizers(object);
      return withNameLabel({
        ...object,
        spec: {
          finalizers: finalizers.includes(NAMESPACE_FINALIZER)
            ? finalizers
            : [...finalizers, NAMESPACE_FINALIZER],
        },
        status: { phase: 'Active' },
      });
    },
    prepareForUpdate: (object, old) => withNameLabel({ ...object, spec: old['spec'], status: old['status'] }),
    returnsDeletedObject: true,
    selectableFields: { 'status.phase': phaseOf, name: (object) => object.metadata.name ?? '' },
    markDeleting: (object) => ({
      ...object,
      status: { ...(object['status'] as Record<string, unknown> | undefined), phase: 'Terminating' },
    }),
    mayRemove: (object) => specFinalizers(object).length === 0,
    subresources: { status, finalize },
  }),
};
