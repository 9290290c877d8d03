/**
 * The cluster roles and bindings every cluster starts with, as data. Written at start where missing; what an
 * administrator changed later is left alone.
 *
 * Source of the rule: the default RBAC policy that Kubernetes documents (user-facing roles, discovery roles). The
 * roles of components that do not run here (scheduler, controllers, kubelets) are left out.
 */
import type { JsonObject, KubeObject } from '@waxseal/api-types';
import { aggregatedRules } from './rbac.js';
import type { ClusterRole } from './rbac-source.js';
import { RBAC_GROUP, parseClusterRole } from './rbac-source.js';
import { ALL_AUTHENTICATED, ALL_SERVICE_ACCOUNTS, ALL_UNAUTHENTICATED, SYSTEM_MASTERS } from './users.js';

const API_VERSION = `${RBAC_GROUP}/v1`;
const READ = ['get', 'list', 'watch'];
const WRITE = ['create', 'delete', 'deletecollection', 'patch', 'update'];
const READ_WRITE = [...WRITE, ...READ];

const METADATA = {
  labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' },
  annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'true' },
};

function resourceRule(verbs: string[], group: string, ...resources: string[]): JsonObject {
  return { verbs, apiGroups: [group], resources };
}

function pathRule(...nonResourceURLs: string[]): JsonObject {
  return { verbs: ['get'], nonResourceURLs };
}

function aggregateLabel(role: string): string {
  return `rbac.authorization.k8s.io/aggregate-to-${role}`;
}

function clusterRole(name: string, rules: JsonObject[], aggregateTo?: string): KubeObject {
  const labels = {
    ...METADATA.labels,
    ...(aggregateTo === undefined ? {} : { [aggregateLabel(aggregateTo)]: 'true' }),
  };
  return {
    apiVersion: API_VERSION,
    kind: 'ClusterRole',
    metadata: { name, labels, annotations: METADATA.annotations },
    rules,
  };
}

/** `admin`, `edit` and `view`: each is what the roles labelled for it grant. */
function aggregatedRole(name: string, aggregateTo?: string): KubeObject {
  return {
    ...clusterRole(name, [], aggregateTo),
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [aggregateLabel(name)]: 'true' } }] },
  };
}

function groupBinding(role: string, ...groups: string[]): KubeObject {
  return {
    apiVersion: API_VERSION,
    kind: 'ClusterRoleBinding',
    metadata: { name: role, ...METADATA },
    subjects: groups.map((name) => ({ kind: 'Group', apiGroup: RBAC_GROUP, name })),
    roleRef: { apiGroup: RBAC_GROUP, kind: 'ClusterRole', name: role },
  };
}

const WORKLOADS: readonly [string, ...string[]][] = [
  [
    'apps',
    'daemonsets',
    'deployments',
    'deployments/rollback',
    'deployments/scale',
    'replicasets',
    'replicasets/scale',
    'statefulsets',
    'statefulsets/scale',
  ],
  ['autoscaling', 'horizontalpodautoscalers'],
  ['batch', 'cronjobs', 'jobs'],
  ['networking.k8s.io', 'ingresses', 'networkpolicies'],
  ['policy', 'poddisruptionbudgets'],
];

const aggregateToAdmin = [
  resourceRule(['create'], 'authorization.k8s.io', 'localsubjectaccessreviews'),
  resourceRule(READ_WRITE, RBAC_GROUP, 'roles', 'rolebindings'),
];

const aggregateToEdit = [
  resourceRule(
    READ,
    '',
    'pods/attach',
    'pods/exec',
    'pods/portforward',
    'pods/proxy',
    'secrets',
    'services/proxy',
  ),
  resourceRule(['impersonate'], '', 'serviceaccounts'),
  resourceRule(WRITE, '', 'pods', 'pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy'),
  resourceRule(['create'], '', 'pods/eviction'),
  resourceRule(
    WRITE,
    '',
    'configmaps',
    'events',
    'persistentvolumeclaims',
    'replicationcontrollers',
    'replicationcontrollers/scale',
    'secrets',
    'serviceaccounts',
    'services',
    'services/proxy',
  ),
  resourceRule(['create'], '', 'serviceaccounts/token'),
  ...WORKLOADS.map(([group, ...resources]) => resourceRule(WRITE, group, ...resources)),
  resourceRule(READ_WRITE, 'coordination.k8s.io', 'leases'),
];

const aggregateToView = [
  resourceRule(
    READ,
    '',
    'configmaps',
    'endpoints',
    'persistentvolumeclaims',
    'persistentvolumeclaims/status',
    'pods',
    'replicationcontrollers',
    'replicationcontrollers/scale',
    'serviceaccounts',
    'services',
    'services/status',
  ),
  resourceRule(
    READ,
    '',
    'bindings',
    'events',
    'limitranges',
    'namespaces/status',
    'pods/log',
    'pods/status',
    'replicationcontrollers/status',
    'resourcequotas',
    'resourcequotas/status',
  ),
  resourceRule(READ, '', 'namespaces'),
  resourceRule(READ, 'discovery.k8s.io', 'endpointslices'),
  ...WORKLOADS.map(([group, ...resources]) => resourceRule(READ, group, ...resources)),
];

const roles: readonly KubeObject[] = [
  clusterRole('cluster-admin', [
    { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
    { verbs: ['*'], nonResourceURLs: ['*'] },
  ]),
  aggregatedRole('admin'),
  aggregatedRole('edit', 'admin'),
  aggregatedRole('view', 'edit'),
  clusterRole('system:aggregate-to-admin', aggregateToAdmin, 'admin'),
  clusterRole('system:aggregate-to-edit', aggregateToEdit, 'edit'),
  clusterRole('system:aggregate-to-view', aggregateToView, 'view'),
  clusterRole('system:discovery', [
    pathRule(
      '/api',
      '/api/*',
      '/apis',
      '/apis/*',
      '/healthz',
      '/livez',
      '/openapi',
      '/openapi/*',
      '/readyz',
      '/version',
      '/version/',
    ),
  ]),
  clusterRole('system:monitoring', [
    pathRule(
      '/healthz',
      '/healthz/*',
      '/livez',
      '/livez/*',
      '/metrics',
      '/metrics/slis',
      '/readyz',
      '/readyz/*',
    ),
  ]),
  clusterRole('system:basic-user', [
    resourceRule(['create'], 'authorization.k8s.io', 'selfsubjectaccessreviews', 'selfsubjectrulesreviews'),
    resourceRule(['create'], 'authentication.k8s.io', 'selfsubjectreviews'),
  ]),
  clusterRole('system:public-info-viewer', [
    pathRule('/healthz', '/livez', '/readyz', '/version', '/version/'),
  ]),
  clusterRole('system:auth-delegator', [
    resourceRule(['create'], 'authentication.k8s.io', 'tokenreviews'),
    resourceRule(['create'], 'authorization.k8s.io', 'subjectaccessreviews'),
  ]),
  clusterRole('system:service-account-issuer-discovery', [
    pathRule(
      '/.well-known/openid-configuration',
      '/.well-known/openid-configuration/',
      '/openid/v1/jwks',
      '/openid/v1/jwks/',
    ),
  ]),
];

// Aggregated roles are written with their rules filled in, as clients expect to read them.
function withAggregatedRules(objects: readonly KubeObject[]): readonly KubeObject[] {
  const parsed: readonly ClusterRole[] = objects.map(parseClusterRole);
  return objects.map((object, i) => {
    const role = parsed[i];
    if (role?.aggregation === undefined) return object;
    const rules = aggregatedRules(role, parsed).map(({ verbs, apiGroups, resources }) => ({
      verbs,
      apiGroups,
      resources,
    }));
    return { ...object, rules };
  });
}

/** ClusterRoles and ClusterRoleBindings, complete but for what the server sets (uid, creationTimestamp). */
export const bootstrapPolicy: {
  readonly clusterRoles: readonly KubeObject[];
  readonly clusterRoleBindings: readonly KubeObject[];
} = {
  clusterRoles: withAggregatedRules(roles),
  clusterRoleBindings: [
    groupBinding('cluster-admin', SYSTEM_MASTERS),
    groupBinding('system:monitoring', 'system:monitoring'),
    groupBinding('system:discovery', ALL_AUTHENTICATED),
    groupBinding('system:basic-user', ALL_AUTHENTICATED),
    groupBinding('system:public-info-viewer', ALL_AUTHENTICATED, ALL_UNAUTHENTICATED),
    groupBinding('system:service-account-issuer-discovery', ALL_SERVICE_ACCOUNTS),
  ],
};
