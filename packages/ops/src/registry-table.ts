/**
 * Where kube-apiserver lays what it stores, as data: every command reads it from here.
 *
 * Sources: k8s.io/kubernetes `pkg/kubeapiserver/default_storage_factory_builder.go` (a built-in resource lies under its plural name without
 * its group, six under an older name; the groups that share one are stored as the group named here), k8s.io/apiserver
 * `pkg/server/options/etcd.go` SimpleStorageFactory (apiextensions, apiregistration: group and plural name) and k8s.io/apiextensions-apiserver
 * (custom resources: the same). docs/formats/registry-layout.md.
 */
import type { GroupResource } from '@waxseal/encryption-config';

/** `[path, group, plural name, kind]`; the path is what stands between the prefix and the namespace. */
export type RegistryRow = readonly [path: string, group: string, resource: string, kind: string];

/** Every resource of Kubernetes 1.36, and those of older releases whose values may lie there yet. */
export const builtInResources: readonly RegistryRow[] = [
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
  [
    'mutatingadmissionpolicies',
    'admissionregistration.k8s.io',
    'mutatingadmissionpolicies',
    'MutatingAdmissionPolicy',
  ],
  [
    'mutatingadmissionpolicybindings',
    'admissionregistration.k8s.io',
    'mutatingadmissionpolicybindings',
    'MutatingAdmissionPolicyBinding',
  ],
  [
    'mutatingwebhookconfigurations',
    'admissionregistration.k8s.io',
    'mutatingwebhookconfigurations',
    'MutatingWebhookConfiguration',
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
  [
    'validatingwebhookconfigurations',
    'admissionregistration.k8s.io',
    'validatingwebhookconfigurations',
    'ValidatingWebhookConfiguration',
  ],
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
  ['clustertrustbundles', 'certificates.k8s.io', 'clustertrustbundles', 'ClusterTrustBundle'],
  ['podcertificaterequests', 'certificates.k8s.io', 'podcertificaterequests', 'PodCertificateRequest'],
  ['leasecandidates', 'coordination.k8s.io', 'leasecandidates', 'LeaseCandidate'],
  ['leases', 'coordination.k8s.io', 'leases', 'Lease'],
  ['endpointslices', 'discovery.k8s.io', 'endpointslices', 'EndpointSlice'],
  ['flowschemas', 'flowcontrol.apiserver.k8s.io', 'flowschemas', 'FlowSchema'],
  [
    'prioritylevelconfigurations',
    'flowcontrol.apiserver.k8s.io',
    'prioritylevelconfigurations',
    'PriorityLevelConfiguration',
  ],
  ['storageversions', 'internal.apiserver.k8s.io', 'storageversions', 'StorageVersion'],
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
  ['devicetaintrules', 'resource.k8s.io', 'devicetaintrules', 'DeviceTaintRule'],
  ['resourceclaims', 'resource.k8s.io', 'resourceclaims', 'ResourceClaim'],
  ['resourceclaimtemplates', 'resource.k8s.io', 'resourceclaimtemplates', 'ResourceClaimTemplate'],
  [
    'resourcepoolstatusrequests',
    'resource.k8s.io',
    'resourcepoolstatusrequests',
    'ResourcePoolStatusRequest',
  ],
  ['resourceslices', 'resource.k8s.io', 'resourceslices', 'ResourceSlice'],
  ['podgroups', 'scheduling.k8s.io', 'podgroups', 'PodGroup'],
  ['priorityclasses', 'scheduling.k8s.io', 'priorityclasses', 'PriorityClass'],
  ['workloads', 'scheduling.k8s.io', 'workloads', 'Workload'],
  ['csidrivers', 'storage.k8s.io', 'csidrivers', 'CSIDriver'],
  ['csinodes', 'storage.k8s.io', 'csinodes', 'CSINode'],
  ['csistoragecapacities', 'storage.k8s.io', 'csistoragecapacities', 'CSIStorageCapacity'],
  ['storageclasses', 'storage.k8s.io', 'storageclasses', 'StorageClass'],
  ['volumeattachments', 'storage.k8s.io', 'volumeattachments', 'VolumeAttachment'],
  ['volumeattributesclasses', 'storage.k8s.io', 'volumeattributesclasses', 'VolumeAttributesClass'],
  [
    'storageversionmigrations',
    'storagemigration.k8s.io',
    'storageversionmigrations',
    'StorageVersionMigration',
  ],
  [
    'apiextensions.k8s.io/customresourcedefinitions',
    'apiextensions.k8s.io',
    'customresourcedefinitions',
    'CustomResourceDefinition',
  ],
  ['apiregistration.k8s.io/apiservices', 'apiregistration.k8s.io', 'apiservices', 'APIService'],
  // Gone from Kubernetes.
  ['auditsinks', 'auditregistration.k8s.io', 'auditsinks', 'AuditSink'],
  ['clustercidrs', 'networking.k8s.io', 'clustercidrs', 'ClusterCIDR'],
  ['podpresets', 'settings.k8s.io', 'podpresets', 'PodPreset'],
  ['podschedulingcontexts', 'resource.k8s.io', 'podschedulingcontexts', 'PodSchedulingContext'],
  ['podsecuritypolicy', 'policy', 'podsecuritypolicies', 'PodSecurityPolicy'],
  ['resourceclaimparameters', 'resource.k8s.io', 'resourceclaimparameters', 'ResourceClaimParameters'],
  ['resourceclasses', 'resource.k8s.io', 'resourceclasses', 'ResourceClass'],
  ['resourceclassparameters', 'resource.k8s.io', 'resourceclassparameters', 'ResourceClassParameters'],
];

/**
 * What kube-apiserver keeps beside the resources of its API: which addresses and ports are taken, and which servers there are. No rule of
 * an EncryptionConfiguration covers them, `*.*` neither: their storage is made by the plain storage factory, without the transformers that
 * `RESTOptionsGetter` adds (`pkg/controlplane/apiserver/config.go`, `pkg/registry/core/rest`, `pkg/controlplane`), and a nil transformer
 * writes plaintext and refuses `k8s:enc:` (k8s.io/apiserver `storagebackend/factory/etcd3.go`). Releases that set the transformers on the
 * storage factory itself did seal them, as the resource their storage was made for.
 */
export interface RegistryRecord {
  readonly path: string;
  readonly kind: string;
  /** By whose rule an old release sealed it. */
  readonly sealedAs: GroupResource;
}

export const registryRecords: readonly RegistryRecord[] = [
  { path: 'ranges', kind: 'RangeAllocation', sealedAs: { group: '', resource: 'services' } },
  { path: 'masterleases', kind: 'Endpoints', sealedAs: { group: '', resource: 'apiServerIPInfo' } },
  { path: 'peerserverleases', kind: 'Endpoints', sealedAs: { group: '', resource: 'apiServerPeerIPInfo' } },
];
