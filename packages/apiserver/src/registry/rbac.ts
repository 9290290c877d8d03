/**
 * Roles and bindings.
 *
 * Source of the rule: kube-apiserver's RBAC validation. That nobody grants what they do not hold is checked by the
 * admission step `admission/rbac-escalation.ts`.
 */
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '@waxseal/api-types';
import { storedResource } from './definition.js';
import { strategy, type RegistryEntry, type Strategy } from './strategy.js';
import { invalidValue, notSupported, required, type FieldError } from './validation/field-error.js';
import { nameIsDnsSubdomain, nameIsPathSegment } from './validation/names.js';

export const RBAC_GROUP = 'rbac.authorization.k8s.io';

interface Rule {
  readonly verbs?: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

interface Subject {
  readonly kind?: string;
  readonly apiGroup?: string;
  readonly name?: string;
  readonly namespace?: string;
}

interface RoleRef {
  readonly apiGroup?: string;
  readonly kind?: string;
  readonly name?: string;
}

const isEmpty = (list: readonly string[] | undefined): boolean => list === undefined || list.length === 0;

function validateRule(rule: Rule, namespaced: boolean, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (isEmpty(rule.verbs)) errors.push(required(`${path}.verbs`, 'verbs must contain at least one value'));
  if (!isEmpty(rule.nonResourceURLs)) {
    const field = `${path}.nonResourceURLs`;
    if (namespaced) {
      errors.push(
        invalidValue(field, rule.nonResourceURLs, 'namespaced rules cannot apply to non-resource URLs'),
      );
    }
    if (!isEmpty(rule.apiGroups) || !isEmpty(rule.resources)) {
      errors.push(
        invalidValue(
          field,
          rule.nonResourceURLs,
          'rules cannot apply to both regular resources and non-resource URLs',
        ),
      );
    }
    return errors;
  }
  if (isEmpty(rule.apiGroups)) {
    errors.push(required(`${path}.apiGroups`, 'resource rules must supply at least one api group'));
  }
  if (isEmpty(rule.resources)) {
    errors.push(required(`${path}.resources`, 'resource rules must supply at least one resource'));
  }
  return errors;
}

function roleStrategy(namespaced: boolean): Strategy {
  return strategy({
    nameRule: nameIsPathSegment,
    allowCreateOnUpdate: true,
    validate: (role) =>
      ((role['rules'] ?? []) as readonly Rule[]).flatMap((rule, i) =>
        validateRule(rule, namespaced, `rules[${i}]`),
      ),
  });
}

/** Users and groups belong to the RBAC group, service accounts to the core group. */
function withDefaults(binding: KubeObject): KubeObject {
  const roleRef = (binding['roleRef'] ?? {}) as RoleRef;
  const subjects = binding['subjects'] as readonly Subject[] | undefined;
  return {
    ...binding,
    ...(subjects === undefined
      ? {}
      : {
          subjects: subjects.map((subject) =>
            (subject.kind === 'User' || subject.kind === 'Group') && (subject.apiGroup ?? '') === ''
              ? { ...subject, apiGroup: RBAC_GROUP }
              : subject,
          ),
        }),
    roleRef: (roleRef.apiGroup ?? '') === '' ? { ...roleRef, apiGroup: RBAC_GROUP } : roleRef,
  };
}

function validateSubject(subject: Subject, namespaced: boolean, path: string): FieldError[] {
  const { name = '', namespace = '', apiGroup = '', kind = '' } = subject;
  const errors: FieldError[] = [];
  if (name === '') errors.push(required(`${path}.name`));
  switch (kind) {
    case 'ServiceAccount':
      if (name !== '') {
        errors.push(...nameIsDnsSubdomain(name, false).map((m) => invalidValue(`${path}.name`, name, m)));
      }
      if (apiGroup !== '') errors.push(notSupported(`${path}.apiGroup`, apiGroup, ['']));
      // The reference lets a role binding leave it out.
      if (!namespaced && namespace === '') errors.push(required(`${path}.namespace`));
      break;
    case 'User':
    case 'Group':
      if (apiGroup !== RBAC_GROUP) errors.push(notSupported(`${path}.apiGroup`, apiGroup, [RBAC_GROUP]));
      break;
    default:
      errors.push(notSupported(`${path}.kind`, kind, ['ServiceAccount', 'User', 'Group']));
  }
  return errors;
}

function validateBinding(binding: KubeObject, namespaced: boolean): FieldError[] {
  const roleRef = binding['roleRef'] as RoleRef;
  const kinds = namespaced ? ['Role', 'ClusterRole'] : ['ClusterRole'];
  const errors: FieldError[] = [];
  if (roleRef.apiGroup !== RBAC_GROUP) {
    errors.push(notSupported('roleRef.apiGroup', roleRef.apiGroup, [RBAC_GROUP]));
  }
  if (!kinds.includes(roleRef.kind ?? ''))
    errors.push(notSupported('roleRef.kind', roleRef.kind ?? '', kinds));
  if ((roleRef.name ?? '') === '') errors.push(required('roleRef.name'));
  else {
    errors.push(
      ...nameIsPathSegment(roleRef.name as string, false).map((m) =>
        invalidValue('roleRef.name', roleRef.name, m),
      ),
    );
  }
  const subjects = (binding['subjects'] ?? []) as readonly Subject[];
  errors.push(...subjects.flatMap((s, i) => validateSubject(s, namespaced, `subjects[${i}]`)));
  return errors;
}

function bindingStrategy(namespaced: boolean): Strategy {
  const validate = (binding: KubeObject): FieldError[] => validateBinding(binding, namespaced);
  return strategy({
    nameRule: nameIsPathSegment,
    allowCreateOnUpdate: true,
    prepareForCreate: withDefaults,
    prepareForUpdate: withDefaults,
    validate,
    validateUpdate: (binding, old) => [
      ...(isDeepStrictEqual(binding['roleRef'], old['roleRef'])
        ? []
        : [invalidValue('roleRef', binding['roleRef'], 'cannot change roleRef')]),
      ...validate(binding),
    ],
  });
}

function rbacResource(kind: string, namespaced: boolean): RegistryEntry['definition'] {
  const singular = kind.toLowerCase();
  return storedResource({
    group: RBAC_GROUP,
    kind,
    resource: `${singular}s`,
    singular,
    namespaced,
  });
}

export const roles: RegistryEntry = { definition: rbacResource('Role', true), strategy: roleStrategy(true) };
export const roleBindings: RegistryEntry = {
  definition: rbacResource('RoleBinding', true),
  strategy: bindingStrategy(true),
};
export const clusterRoles: RegistryEntry = {
  definition: rbacResource('ClusterRole', false),
  strategy: roleStrategy(false),
};
export const clusterRoleBindings: RegistryEntry = {
  definition: rbacResource('ClusterRoleBinding', false),
  strategy: bindingStrategy(false),
};
