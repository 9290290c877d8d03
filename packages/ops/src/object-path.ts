/**
 * Which object a storage key names, and which resource of an EncryptionConfiguration covers it.
 *
 * Source of the rule: k8s.io/kubernetes `pkg/kubeapiserver/default_storage_factory_builder.go`: built-in resources lie under their
 * plural name without their group, four of them under an older name; custom resources, and those of apiextensions and
 * apiregistration, under group and plural name. docs/formats/registry-layout.md.
 */
import type { GroupResource } from '@waxseal/encryption-config';

export interface ObjectPath extends GroupResource {
  /** Empty for what has no namespace. */
  readonly namespace: string;
  readonly name: string;
  /** Known for built-in resources only. */
  readonly kind?: string;
}

/** `[path, group, plural name, kind]`; the path is what stands between the prefix and the namespace. */
const BUILT_IN: readonly (readonly [string, string, string, string])[] = [
  ['configmaps', '', 'configmaps', 'ConfigMap'],
  ['controllers', '', 'replicationcontrollers', 'ReplicationController'],
  ['events', '', 'events', 'Event'],
  ['limitranges', '', 'limitranges', 'LimitRange'],
  ['minions', '', 'nodes', 'Node'],
  ['namespaces', '', 'namespaces', 'Namespace'],
  ['persistentvolumeclaims', '', 'persistentvolumeclaims', 'PersistentVolumeClaim'],
  ['persistentvolumes', '', 'persistentvolumes', 'PersistentVolume'],
  ['pods', '', 'pods', 'Pod'],
  ['podtemplates', '', 'podtemplates', 'PodTemplate'],
  ['resourcequotas', '', 'resourcequotas', 'ResourceQuota'],
  ['secrets', '', 'secrets', 'Secret'],
  ['serviceaccounts', '', 'serviceaccounts', 'ServiceAccount'],
  ['services/endpoints', '', 'endpoints', 'Endpoints'],
  ['services/specs', '', 'services', 'Service'],
  ['controllerrevisions', 'apps', 'controllerrevisions', 'ControllerRevision'],
  ['daemonsets', 'apps', 'daemonsets', 'DaemonSet'],
  ['deployments', 'apps', 'deployments', 'Deployment'],
  ['replicasets', 'apps', 'replicasets', 'ReplicaSet'],
  ['statefulsets', 'apps', 'statefulsets', 'StatefulSet'],
  ['horizontalpodautoscalers', 'autoscaling', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler'],
  ['cronjobs', 'batch', 'cronjobs', 'CronJob'],
  ['jobs', 'batch', 'jobs', 'Job'],
  [
    'certificatesigningrequests',
    'certificates.k8s.io',
    'certificatesigningrequests',
    'CertificateSigningRequest',
  ],
  ['leases', 'coordination.k8s.io', 'leases', 'Lease'],
  ['endpointslices', 'discovery.k8s.io', 'endpointslices', 'EndpointSlice'],
  ['flowschemas', 'flowcontrol.apiserver.k8s.io', 'flowschemas', 'FlowSchema'],
  [
    'prioritylevelconfigurations',
    'flowcontrol.apiserver.k8s.io',
    'prioritylevelconfigurations',
    'PriorityLevelConfiguration',
  ],
  ['ingress', 'networking.k8s.io', 'ingresses', 'Ingress'],
  ['ingressclasses', 'networking.k8s.io', 'ingressclasses', 'IngressClass'],
  ['ipaddresses', 'networking.k8s.io', 'ipaddresses', 'IPAddress'],
  ['networkpolicies', 'networking.k8s.io', 'networkpolicies', 'NetworkPolicy'],
  ['servicecidrs', 'networking.k8s.io', 'servicecidrs', 'ServiceCIDR'],
  ['runtimeclasses', 'node.k8s.io', 'runtimeclasses', 'RuntimeClass'],
  ['poddisruptionbudgets', 'policy', 'poddisruptionbudgets', 'PodDisruptionBudget'],
  ['clusterrolebindings', 'rbac.authorization.k8s.io', 'clusterrolebindings', 'ClusterRoleBinding'],
  ['clusterroles', 'rbac.authorization.k8s.io', 'clusterroles', 'ClusterRole'],
  ['rolebindings', 'rbac.authorization.k8s.io', 'rolebindings', 'RoleBinding'],
  ['roles', 'rbac.authorization.k8s.io', 'roles', 'Role'],
  ['deviceclasses', 'resource.k8s.io', 'deviceclasses', 'DeviceClass'],
  ['resourceclaims', 'resource.k8s.io', 'resourceclaims', 'ResourceClaim'],
  ['resourceclaimtemplates', 'resource.k8s.io', 'resourceclaimtemplates', 'ResourceClaimTemplate'],
  ['resourceslices', 'resource.k8s.io', 'resourceslices', 'ResourceSlice'],
  ['priorityclasses', 'scheduling.k8s.io', 'priorityclasses', 'PriorityClass'],
  ['csidrivers', 'storage.k8s.io', 'csidrivers', 'CSIDriver'],
  ['csinodes', 'storage.k8s.io', 'csinodes', 'CSINode'],
  ['csistoragecapacities', 'storage.k8s.io', 'csistoragecapacities', 'CSIStorageCapacity'],
  ['storageclasses', 'storage.k8s.io', 'storageclasses', 'StorageClass'],
  ['volumeattachments', 'storage.k8s.io', 'volumeattachments', 'VolumeAttachment'],
  ['volumeattributesclasses', 'storage.k8s.io', 'volumeattributesclasses', 'VolumeAttributesClass'],
  [
    'mutatingwebhookconfigurations',
    'admissionregistration.k8s.io',
    'mutatingwebhookconfigurations',
    'MutatingWebhookConfiguration',
  ],
  [
    'validatingwebhookconfigurations',
    'admissionregistration.k8s.io',
    'validatingwebhookconfigurations',
    'ValidatingWebhookConfiguration',
  ],
  [
    'validatingadmissionpolicies',
    'admissionregistration.k8s.io',
    'validatingadmissionpolicies',
    'ValidatingAdmissionPolicy',
  ],
  [
    'validatingadmissionpolicybindings',
    'admissionregistration.k8s.io',
    'validatingadmissionpolicybindings',
    'ValidatingAdmissionPolicyBinding',
  ],
  // No resources of the API: records that are stored as the configuration says for these.
  ['masterleases', '', 'apiServerIPInfo', 'Endpoints'],
  ['peerserverleases', '', 'apiServerPeerIPInfo', 'Endpoints'],
  ['ranges', '', 'services', 'RangeAllocation'],
];

const byPath: ReadonlyMap<string, (typeof BUILT_IN)[number]> = new Map(BUILT_IN.map((row) => [row[0], row]));

/** What may stand between the prefix and the namespace of a built-in resource's keys. */
export const objectPaths: readonly string[] = [...byPath.keys()];

/**
 * @param key the whole storage key
 * @param prefix what the API server's --etcd-prefix is, `/registry` by default, with or without a final `/`
 * @returns undefined for a key that names no object: outside the prefix, or without a resource and a name
 */
export function parseObjectPath(key: string, prefix: string): ObjectPath | undefined {
  const root = prefix.endsWith('/') ? prefix : `${prefix}/`;
  if (!key.startsWith(root)) return undefined;
  const segments = key.slice(root.length).split('/');
  const [first = '', second = ''] = segments;
  const twoWords = byPath.get(`${first}/${second}`);
  const builtIn = twoWords ?? byPath.get(first);
  if (builtIn !== undefined) {
    const [path, group, resource, kind] = builtIn;
    return withName({ group, resource, kind }, segments.slice(path.split('/').length));
  }
  // Group and plural name; a group always has a dot, no plural name has.
  if (first.includes('.')) return withName({ group: first, resource: second }, segments.slice(2));
  return withName({ group: '', resource: first }, segments.slice(1));
}

function withName(
  resource: GroupResource & { readonly kind?: string },
  rest: readonly string[],
): ObjectPath | undefined {
  const name = rest.at(-1) ?? '';
  if (name === '' || resource.resource === '' || rest.length > 2) return undefined;
  return { ...resource, namespace: rest.length === 2 ? (rest[0] ?? '') : '', name };
}
