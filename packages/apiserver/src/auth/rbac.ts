/**
 * Role-based access control: does any rule bound to this user allow this request?
 *
 * Source of the rule: kube-apiserver's RBAC authorizer. Rules only ever add; nothing denies. Cluster role bindings
 * apply everywhere, role bindings in their namespace. Members of `system:masters` are never asked. Matching is by an
 * index from user and group names to rules, rebuilt when the source hands out a new array, so a decision costs a few
 * map lookups however many bindings exist.
 */
import type { UserInfo } from '../rest/contract.js';
import type { Attributes, Decision } from './attributes.js';
import { quoted } from './attributes.js';
import type {
  ClusterRole,
  ClusterRoleBinding,
  LabelSelector,
  PolicyRule,
  RbacSource,
  RbacSubject,
  Role,
  RoleBinding,
  RoleRef,
} from './rbac-source.js';
import { RBAC_GROUP } from './rbac-source.js';
import { SYSTEM_MASTERS, serviceAccountUserName } from './users.js';

interface UserRules {
  readonly rules: readonly PolicyRule[];
  /** Bindings that could not be resolved, worded for `evaluationError`. */
  readonly errors: readonly string[];
}

export interface Authorizer {
  authorize(attributes: Attributes): Decision;
  /** Every rule the user has in the namespace (cluster-wide ones included); empty namespace: cluster-wide only. */
  rulesFor(user: UserInfo, namespace: string): UserRules;
}

type Resolution = { readonly rules: readonly PolicyRule[] } | { readonly error: string };

/** One subject of one binding. */
interface Grant {
  readonly subject: RbacSubject;
  readonly binding: ClusterRoleBinding & { readonly namespace?: string };
  readonly resolution: Resolution;
}

interface SubjectIndex {
  readonly byUser: Map<string, Grant[]>;
  readonly byGroup: Map<string, Grant[]>;
}

interface RbacIndex {
  readonly cluster: SubjectIndex;
  readonly byNamespace: ReadonlyMap<string, SubjectIndex>;
}

const NO_GRANTS: readonly Grant[] = [];

function selects(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels)) {
    if (labels[key] !== value) return false;
  }
  return selector.matchExpressions.every(({ key, operator, values }) => {
    const label = labels[key];
    switch (operator) {
      case 'In':
        return label !== undefined && values.includes(label);
      case 'NotIn':
        return label === undefined || !values.includes(label);
      case 'Exists':
        return label !== undefined;
      case 'DoesNotExist':
        return label === undefined;
      default:
        return false;
    }
  });
}

/** What a cluster role grants once aggregation is resolved, through any depth and past any cycle. */
export function aggregatedRules(
  role: ClusterRole,
  all: readonly ClusterRole[],
  seen: ReadonlySet<string> = new Set(),
): readonly PolicyRule[] {
  const { aggregation } = role;
  if (aggregation === undefined) return role.rules;
  const path = new Set(seen).add(role.name);
  return all
    .filter(
      (other) => !path.has(other.name) && aggregation.some((selector) => selects(selector, other.labels)),
    )
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((other) => aggregatedRules(other, all, path));
}

/** Name lookups over one generation of roles. */
interface RoleIndex {
  readonly clusterRoles: ReadonlyMap<string, readonly PolicyRule[]>;
  /** Keyed `namespace/name`. */
  readonly roles: ReadonlyMap<string, readonly PolicyRule[]>;
}

function indexRoles(roles: readonly Role[], clusterRoles: readonly ClusterRole[]): RoleIndex {
  return {
    clusterRoles: new Map(clusterRoles.map((role) => [role.name, aggregatedRules(role, clusterRoles)])),
    roles: new Map(roles.map((role) => [`${role.namespace}/${role.name}`, role.rules])),
  };
}

function resolve(index: RoleIndex, ref: RoleRef, namespace: string): Resolution {
  if (ref.kind === 'ClusterRole') {
    const rules = index.clusterRoles.get(ref.name);
    if (rules !== undefined) return { rules };
    return { error: `clusterroles.${RBAC_GROUP} ${quoted(ref.name)} not found` };
  }
  if (ref.kind === 'Role') {
    const rules = index.roles.get(`${namespace}/${ref.name}`);
    if (rules !== undefined) return { rules };
    return { error: `roles.${RBAC_GROUP} ${quoted(ref.name)} not found` };
  }
  return { error: `unsupported role reference kind: ${quoted(ref.kind)}` };
}

/** The rules behind a role reference, or a sentence saying that it leads nowhere. */
export function resolveRoleRef(source: RbacSource, ref: RoleRef, namespace: string): Resolution {
  return resolve(indexRoles(source.roles(), source.clusterRoles()), ref, namespace);
}

function add(map: Map<string, Grant[]>, key: string, grant: Grant): void {
  const grants = map.get(key);
  if (grants === undefined) map.set(key, [grant]);
  else grants.push(grant);
}

function addBinding(
  index: SubjectIndex,
  binding: Grant['binding'],
  namespace: string,
  resolution: Resolution,
): void {
  for (const subject of binding.subjects) {
    const grant: Grant = { subject, binding, resolution };
    if (subject.kind === 'User') add(index.byUser, subject.name, grant);
    else if (subject.kind === 'Group') add(index.byGroup, subject.name, grant);
    else if (subject.kind === 'ServiceAccount') {
      // In a role binding an unqualified service account is one of the binding's own namespace.
      const of = subject.namespace === '' ? namespace : subject.namespace;
      if (of !== '') add(index.byUser, serviceAccountUserName(of, subject.name), grant);
    }
  }
}

function newSubjectIndex(): SubjectIndex {
  return { byUser: new Map(), byGroup: new Map() };
}

function buildIndex(
  roles: readonly Role[],
  clusterRoles: readonly ClusterRole[],
  roleBindings: readonly RoleBinding[],
  clusterRoleBindings: readonly ClusterRoleBinding[],
): RbacIndex {
  const names = indexRoles(roles, clusterRoles);
  const cluster = newSubjectIndex();
  for (const binding of clusterRoleBindings) {
    addBinding(cluster, binding, '', resolve(names, binding.roleRef, ''));
  }
  const byNamespace = new Map<string, SubjectIndex>();
  for (const binding of roleBindings) {
    let index = byNamespace.get(binding.namespace);
    if (index === undefined) {
      index = newSubjectIndex();
      byNamespace.set(binding.namespace, index);
    }
    addBinding(index, binding, binding.namespace, resolve(names, binding.roleRef, binding.namespace));
  }
  return { cluster, byNamespace };
}

function has(set: readonly string[], element: string): boolean {
  return set.includes('*') || set.includes(element);
}

function pathMatches(pattern: string, path: string): boolean {
  if (pattern === '*' || pattern === path) return true;
  return pattern.endsWith('*') && path.startsWith(pattern.replace(/\*+$/, ''));
}

/** Does this one rule allow the request? */
function ruleAllows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!has(rule.verbs, attributes.verb)) return false;
  if (attributes.kind === 'path') {
    return rule.nonResourceURLs.some((pattern) => pathMatches(pattern, attributes.path));
  }
  if (!has(rule.apiGroups, attributes.group)) return false;
  const { resource, subresource, name } = attributes;
  const combined = subresource === '' ? resource : `${resource}/${subresource}`;
  const matches =
    has(rule.resources, combined) || (subresource !== '' && rule.resources.includes(`*/${subresource}`));
  if (!matches) return false;
  return rule.resourceNames.length === 0 || rule.resourceNames.includes(name);
}

function describeGrant({ binding, subject }: Grant): string {
  const namespace = binding.namespace ?? '';
  const kind = namespace === '' ? 'ClusterRoleBinding' : 'RoleBinding';
  const name = namespace === '' ? binding.name : `${binding.name}/${namespace}`;
  const who =
    subject.kind === 'ServiceAccount'
      ? `${subject.name}/${subject.namespace === '' ? namespace : subject.namespace}`
      : subject.name;
  return `${kind} ${quoted(name)} of ${binding.roleRef.kind} ${quoted(binding.roleRef.name)} to ${subject.kind} ${quoted(who)}`;
}

/** Calls `visit` with each grant of the user until it returns true. */
function visitGrants(
  index: SubjectIndex | undefined,
  user: UserInfo,
  visit: (grant: Grant) => boolean,
): boolean {
  if (index === undefined) return false;
  if ((index.byUser.get(user.name) ?? NO_GRANTS).some(visit)) return true;
  return user.groups.some((group) => (index.byGroup.get(group) ?? NO_GRANTS).some(visit));
}

export function createRbacAuthorizer(source: RbacSource): Authorizer {
  let generation: readonly unknown[] = [];
  let index: RbacIndex | undefined;

  function current(): RbacIndex {
    const roles = source.roles();
    const clusterRoles = source.clusterRoles();
    const roleBindings = source.roleBindings();
    const clusterRoleBindings = source.clusterRoleBindings();
    if (
      index === undefined ||
      generation[0] !== roles ||
      generation[1] !== clusterRoles ||
      generation[2] !== roleBindings ||
      generation[3] !== clusterRoleBindings
    ) {
      index = buildIndex(roles, clusterRoles, roleBindings, clusterRoleBindings);
      generation = [roles, clusterRoles, roleBindings, clusterRoleBindings];
    }
    return index;
  }

  return {
    authorize(attributes) {
      const { user } = attributes;
      if (user.groups.includes(SYSTEM_MASTERS)) return { allowed: true, reason: '' };
      const { cluster, byNamespace } = current();
      const errors = new Set<string>();
      let reason = '';
      const visit = (grant: Grant): boolean => {
        if ('error' in grant.resolution) {
          errors.add(grant.resolution.error);
          return false;
        }
        if (!grant.resolution.rules.some((rule) => ruleAllows(rule, attributes))) return false;
        reason = `RBAC: allowed by ${describeGrant(grant)}`;
        return true;
      };
      const namespace = attributes.kind === 'resource' ? attributes.namespace : '';
      const allowed =
        visitGrants(cluster, user, visit) ||
        (namespace !== '' && visitGrants(byNamespace.get(namespace), user, visit));
      if (allowed) return { allowed, reason };
      return { allowed, reason: errors.size === 0 ? '' : `RBAC: ${aggregate([...errors])}` };
    },

    rulesFor(user, namespace) {
      const { cluster, byNamespace } = current();
      const rules: PolicyRule[] = [];
      const errors = new Set<string>();
      const seen = new Set<ClusterRoleBinding>();
      const visit = (grant: Grant): boolean => {
        if (seen.has(grant.binding)) return false;
        seen.add(grant.binding);
        if ('error' in grant.resolution) errors.add(grant.resolution.error);
        else rules.push(...grant.resolution.rules);
        return false;
      };
      visitGrants(cluster, user, visit);
      if (namespace !== '') visitGrants(byNamespace.get(namespace), user, visit);
      return { rules, errors: [...errors] };
    },
  };
}

function aggregate(errors: readonly string[]): string {
  return errors.length === 1 ? (errors[0] ?? '') : `[${errors.join(', ')}]`;
}
