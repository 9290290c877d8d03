/**
 * The RBAC objects as authorisation reads them, and the interface through which the REST layer supplies them.
 *
 * Source of the rule: rbac.authorization.k8s.io/v1. Parsing is total: a stored object with a field of the wrong type
 * yields an object that grants less, never an exception, because one odd object must not lock everyone out.
 */
import type { KubeObject } from '@waxseal/api-types';

export const RBAC_GROUP = 'rbac.authorization.k8s.io';

export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
  readonly nonResourceURLs: readonly string[];
}

export interface RbacSubject {
  readonly kind: string;
  readonly apiGroup: string;
  readonly name: string;
  readonly namespace: string;
}

export interface RoleRef {
  readonly apiGroup: string;
  readonly kind: string;
  readonly name: string;
}

export interface Role {
  readonly namespace: string;
  readonly name: string;
  readonly rules: readonly PolicyRule[];
}

interface LabelRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values: readonly string[];
}

export interface LabelSelector {
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly matchExpressions: readonly LabelRequirement[];
}

export interface ClusterRole {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly rules: readonly PolicyRule[];
  /** Present: `rules` is what the roles matching any selector grant, whatever is stored. */
  readonly aggregation: readonly LabelSelector[] | undefined;
}

export interface RoleBinding {
  readonly namespace: string;
  readonly name: string;
  readonly subjects: readonly RbacSubject[];
  readonly roleRef: RoleRef;
}

export type ClusterRoleBinding = Omit<RoleBinding, 'namespace'>;

/**
 * Every RBAC object, kept current. Each method returns the same array until something of its kind changes and a new
 * array after: the authorizer indexes by array identity and never copies.
 */
export interface RbacSource {
  roles(): readonly Role[];
  clusterRoles(): readonly ClusterRole[];
  roleBindings(): readonly RoleBinding[];
  clusterRoleBindings(): readonly ClusterRoleBinding[];
}

type Fields = Readonly<Record<string, unknown>>;

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function texts(value: unknown): readonly string[] {
  return list(value).filter((item): item is string => typeof item === 'string');
}

function labels(value: unknown): Readonly<Record<string, string>> {
  const result: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [key, label] of Object.entries(fields(value))) {
    if (typeof label === 'string') result[key] = label;
  }
  return result;
}

/** The `rules` of a Role or ClusterRole. */
export function parsePolicyRules(value: unknown): readonly PolicyRule[] {
  return list(value).map((item) => {
    const rule = fields(item);
    return {
      verbs: texts(rule['verbs']),
      apiGroups: texts(rule['apiGroups']),
      resources: texts(rule['resources']),
      resourceNames: texts(rule['resourceNames']),
      nonResourceURLs: texts(rule['nonResourceURLs']),
    };
  });
}

/** The `roleRef` of a binding. */
export function parseRoleRef(value: unknown): RoleRef {
  const ref = fields(value);
  return { apiGroup: text(ref['apiGroup']), kind: text(ref['kind']), name: text(ref['name']) };
}

function parseSubjects(value: unknown): readonly RbacSubject[] {
  return list(value).map((item) => {
    const subject = fields(item);
    return {
      kind: text(subject['kind']),
      apiGroup: text(subject['apiGroup']),
      name: text(subject['name']),
      namespace: text(subject['namespace']),
    };
  });
}

/** The `aggregationRule` of a ClusterRole as its list of selectors, undefined when there is none. */
export function parseAggregationRule(value: unknown): readonly LabelSelector[] | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return list(fields(value)['clusterRoleSelectors']).map((item) => {
    const selector = fields(item);
    return {
      matchLabels: labels(selector['matchLabels']),
      matchExpressions: list(selector['matchExpressions']).map((entry) => {
        const requirement = fields(entry);
        return {
          key: text(requirement['key']),
          operator: text(requirement['operator']),
          values: texts(requirement['values']),
        };
      }),
    };
  });
}

export function parseRole(object: KubeObject): Role {
  return {
    namespace: text(object.metadata.namespace),
    name: text(object.metadata.name),
    rules: parsePolicyRules(object['rules']),
  };
}

export function parseClusterRole(object: KubeObject): ClusterRole {
  return {
    name: text(object.metadata.name),
    labels: labels(object.metadata.labels),
    rules: parsePolicyRules(object['rules']),
    aggregation: parseAggregationRule(object['aggregationRule']),
  };
}

export function parseRoleBinding(object: KubeObject): RoleBinding {
  return { namespace: text(object.metadata.namespace), ...parseClusterRoleBinding(object) };
}

export function parseClusterRoleBinding(object: KubeObject): ClusterRoleBinding {
  return {
    name: text(object.metadata.name),
    subjects: parseSubjects(object['subjects']),
    roleRef: parseRoleRef(object['roleRef']),
  };
}
