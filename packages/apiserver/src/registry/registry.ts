/** Every resource served, in discovery order: core group first, then groups and resources by name. */
import { configMaps } from './config-maps.js';
import { events } from './events.js';
import { namespaces } from './namespaces.js';
import { clusterRoleBindings, clusterRoles, roleBindings, roles } from './rbac.js';
import { reviews } from './reviews.js';
import { secrets } from './secrets.js';
import { serviceAccounts } from './service-accounts.js';
import type { RegistryEntry } from './strategy.js';

export const registry: readonly RegistryEntry[] = [
  configMaps,
  events,
  namespaces,
  secrets,
  serviceAccounts,
  ...reviews,
  clusterRoleBindings,
  clusterRoles,
  roleBindings,
  roles,
];
