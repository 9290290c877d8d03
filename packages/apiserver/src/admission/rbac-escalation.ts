/**
 * Nobody grants rights they do not hold: asked before every write of a role or binding.
 *
 * Source of the rule: kube-apiserver's `rbac/…/policybased` storages. Changing nothing about the grant needs no right.
 */
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '@waxseal/api-types';
import type { AuthHooks } from '../auth/hooks.js';
import { parseAggregationRule, parsePolicyRules, parseRoleRef } from '../auth/rbac-source.js';
import { RBAC_GROUP } from '../registry/rbac.js';
import type { ResourceDefinition } from '../registry/resource.js';
import type { UserInfo } from '../rest/contract.js';

/** @throws ApiError 403 */
export function admitGrant(
  auth: AuthHooks,
  resource: ResourceDefinition,
  user: UserInfo,
  object: KubeObject,
  old: KubeObject | undefined,
): void {
  if (resource.group !== RBAC_GROUP) return;
  const target = { user, namespace: object.metadata.namespace ?? '', name: object.metadata.name ?? '' };
  const unchanged = (field: string): boolean =>
    old !== undefined && isDeepStrictEqual(old[field] ?? null, object[field] ?? null);
  switch (resource.resource) {
    case 'roles':
    case 'clusterroles':
      if (unchanged('rules') && unchanged('aggregationRule')) return;
      auth.checkRoleEscalation({
        ...target,
        resource: resource.resource,
        rules: parsePolicyRules(object['rules']),
        aggregation: parseAggregationRule(object['aggregationRule']),
      });
      return;
    case 'rolebindings':
    case 'clusterrolebindings':
      if (unchanged('subjects') && unchanged('roleRef')) return;
      auth.checkBindingEscalation({
        ...target,
        resource: resource.resource,
        roleRef: parseRoleRef(object['roleRef']),
      });
      return;
    default:
  }
}
