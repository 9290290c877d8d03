/**
 * Nobody may grant what they do not hold.
 *
 * Source of the rule: kube-apiserver's RBAC registry (`ConfirmNoEscalation`, policy-based role and binding storage).
 * Writing a role needs every right the role names, or the verb `escalate` on the role; writing a binding needs every
 * right of the bound role, or the verb `bind` on that role. The message lists what is missing.
 */
import type { UserInfo } from '../rest/contract.js';
import { forbidden } from '../rest/status-errors.js';
import { quoted } from './attributes.js';
import type { LabelSelector, PolicyRule, RbacSource, RoleRef } from './rbac-source.js';
import { RBAC_GROUP } from './rbac-source.js';
import type { Authorizer } from './rbac.js';
import { resolveRoleRef } from './rbac.js';

const EVERYTHING: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'], resourceNames: [], nonResourceURLs: [] },
  { verbs: ['*'], apiGroups: [], resources: [], resourceNames: [], nonResourceURLs: ['*'] },
];

function hasAll(owned: readonly string[], wanted: readonly string[]): boolean {
  return wanted.every((item) => owned.includes(item));
}

function covers(owned: readonly string[], wanted: readonly string[]): boolean {
  return owned.includes('*') || hasAll(owned, wanted);
}

function resourcesCover(owned: readonly string[], wanted: readonly string[]): boolean {
  if (owned.includes('*')) return true;
  return wanted.every((resource) => {
    if (owned.includes(resource)) return true;
    const slash = resource.indexOf('/');
    return slash >= 0 && owned.includes(`*${resource.slice(slash)}`);
  });
}

function pathsCover(owned: readonly string[], wanted: readonly string[]): boolean {
  return wanted.every((path) =>
    owned.some((pattern) => {
      if (pattern === path) return true;
      return pattern.endsWith('*') && path.startsWith(pattern.replace(/\*+$/, ''));
    }),
  );
}

function ruleCovers(owner: PolicyRule, atom: PolicyRule): boolean {
  return (
    covers(owner.verbs, atom.verbs) &&
    covers(owner.apiGroups, atom.apiGroups) &&
    resourcesCover(owner.resources, atom.resources) &&
    pathsCover(owner.nonResourceURLs, atom.nonResourceURLs) &&
    // A rule limited to some names covers none that is not.
    (owner.resourceNames.length === 0 ||
      (atom.resourceNames.length > 0 && hasAll(owner.resourceNames, atom.resourceNames)))
  );
}

/** The rule as rules of at most one verb, group, resource, name or path each: an atom is covered whole or not at all. */
function* atoms(rule: PolicyRule): Generator<PolicyRule> {
  const names = rule.resourceNames.length === 0 ? [undefined] : rule.resourceNames;
  for (const group of rule.apiGroups) {
    for (const resource of rule.resources) {
      for (const verb of rule.verbs) {
        for (const name of names) {
          yield {
            verbs: [verb],
            apiGroups: [group],
            resources: [resource],
            resourceNames: name === undefined ? [] : [name],
            nonResourceURLs: [],
          };
        }
      }
    }
  }
  for (const path of rule.nonResourceURLs) {
    for (const verb of rule.verbs) {
      yield { verbs: [verb], apiGroups: [], resources: [], resourceNames: [], nonResourceURLs: [path] };
    }
  }
}

/** The parts of `wanted` that `owned` does not grant, as atoms. */
export function missingRules(
  owned: readonly PolicyRule[],
  wanted: readonly PolicyRule[],
): readonly PolicyRule[] {
  const missing: PolicyRule[] = [];
  for (const rule of wanted) {
    for (const atom of atoms(rule)) {
      if (!owned.some((owner) => ruleCovers(owner, atom))) missing.push(atom);
    }
  }
  return missing;
}

function goList(items: readonly string[]): string {
  return `[${items.map(quoted).join(' ')}]`;
}

function ruleText(rule: PolicyRule): string {
  const parts: string[] = [];
  if (rule.apiGroups.length > 0) parts.push(`APIGroups:${goList(rule.apiGroups)}`);
  if (rule.resources.length > 0) parts.push(`Resources:${goList(rule.resources)}`);
  if (rule.nonResourceURLs.length > 0) parts.push(`NonResourceURLs:${goList(rule.nonResourceURLs)}`);
  if (rule.resourceNames.length > 0) parts.push(`ResourceNames:${goList(rule.resourceNames)}`);
  if (rule.verbs.length > 0) parts.push(`Verbs:${goList(rule.verbs)}`);
  return `{${parts.join(', ')}}`;
}

/** Atoms that differ only in the verb become one line. */
function describeMissing(missing: readonly PolicyRule[]): string {
  const merged = new Map<string, PolicyRule>();
  for (const atom of missing) {
    const key = JSON.stringify([atom.apiGroups, atom.resources, atom.resourceNames, atom.nonResourceURLs]);
    const before = merged.get(key);
    merged.set(key, before === undefined ? atom : { ...before, verbs: [...before.verbs, ...atom.verbs] });
  }
  return [...merged.values()].map(ruleText).toSorted().join('\n');
}

interface GrantTarget {
  readonly user: UserInfo;
  /** Of the role or binding; empty for cluster-scoped ones. */
  readonly namespace: string;
  /** Of the role or binding being written. */
  readonly name: string;
}

export interface RoleGrant extends GrantTarget {
  readonly resource: 'roles' | 'clusterroles';
  readonly rules: readonly PolicyRule[];
  readonly aggregation?: readonly LabelSelector[] | undefined;
}

export interface BindingGrant extends GrantTarget {
  readonly resource: 'rolebindings' | 'clusterrolebindings';
  readonly roleRef: RoleRef;
}

function refuse(grant: RoleGrant | BindingGrant, missing: readonly PolicyRule[]): void {
  if (missing.length === 0) return;
  const { user } = grant;
  throw forbidden(
    { group: RBAC_GROUP, resource: grant.resource },
    grant.name,
    `user ${quoted(user.name)} (groups=${goList(user.groups)}) is attempting to grant RBAC permissions not currently held:\n${describeMissing(missing)}`,
  );
}

/**
 * May the user write this role? Call it on create, and on update when rules or aggregation changed.
 *
 * @throws ApiError 403
 */
export function checkRoleEscalation(authorizer: Authorizer, grant: RoleGrant): void {
  const { user, namespace, name, resource } = grant;
  const { allowed } = authorizer.authorize({
    kind: 'resource',
    user,
    verb: 'escalate',
    group: RBAC_GROUP,
    resource,
    subresource: '',
    namespace,
    name,
  });
  if (allowed) return;
  const held = authorizer.rulesFor(user, namespace).rules;
  refuse(grant, missingRules(held, grant.rules));
  // An aggregated role grows by itself, so only who holds everything may create one.
  if (grant.aggregation !== undefined && grant.aggregation.length > 0)
    refuse(grant, missingRules(held, EVERYTHING));
}

/**
 * May the user write this binding? Call it on create, and on update when subjects changed.
 *
 * @throws ApiError 403
 */
export function checkBindingEscalation(
  authorizer: Authorizer,
  source: RbacSource,
  grant: BindingGrant,
): void {
  const { user, namespace, roleRef } = grant;
  const { allowed } = authorizer.authorize({
    kind: 'resource',
    user,
    verb: 'bind',
    group: RBAC_GROUP,
    resource: roleRef.kind === 'Role' ? 'roles' : 'clusterroles',
    subresource: '',
    namespace,
    name: roleRef.name,
  });
  if (allowed) return;
  const bound = resolveRoleRef(source, roleRef, namespace);
  if ('error' in bound)
    throw forbidden({ group: RBAC_GROUP, resource: grant.resource }, grant.name, bound.error);
  refuse(grant, missingRules(authorizer.rulesFor(user, namespace).rules, bound.rules));
}
