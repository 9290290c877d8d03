/**
 * What of a stored object belongs to the cluster it was in, and not to the next one.
 *
 * Sources: ObjectMeta in k8s.io/apimachinery `pkg/apis/meta/v1/types.go` (what only servers set), and the API conventions for `status`.
 * What is left out, and what a kind loses beside it, are the rules of the controllers that own them, named at each.
 */
import { isJsonObject, type JsonObject, type JsonValue } from '@waxseal/api-types';
import type { ObjectPath } from '../object-path.js';

/** Set by servers; a uid or resourceVersion in a body is a precondition that no other cluster meets. */
const SERVER_METADATA: ReadonlySet<string> = new Set([
  'creationTimestamp',
  'deletionGracePeriodSeconds',
  'deletionTimestamp',
  'generation',
  'managedFields',
  'resourceVersion',
  'selfLink',
  'uid',
]);

export function withoutManagedFields(object: JsonObject): JsonObject {
  return withMetadata(object, (name) => name !== 'managedFields');
}

/** Without what only a server sets: `status`, and those fields of the metadata. */
export function withoutServerFields({ status: _status, ...object }: JsonObject): JsonObject {
  return withMetadata(object, (name) => !SERVER_METADATA.has(name));
}

/** Written by machines and controllers about themselves, and again by those of the next cluster. */
const REPORTED: ReadonlySet<string> = new Set([
  'csinodes.storage.k8s.io',
  'csistoragecapacities.storage.k8s.io',
  'events.',
  'ipaddresses.networking.k8s.io',
  'leasecandidates.coordination.k8s.io',
  'leases.coordination.k8s.io',
  'nodes.',
  'podcertificaterequests.certificates.k8s.io',
  'resourcepoolstatusrequests.resource.k8s.io',
  'resourceslices.resource.k8s.io',
  'storageversions.internal.apiserver.k8s.io',
  'volumeattachments.storage.k8s.io',
]);

/** What a built-in controller makes again from the specification of the owner alone. */
const MADE_BY_OWNERS: ReadonlySet<string> = new Set([
  'ControllerRevision',
  'EndpointSlice',
  'Job',
  'Pod',
  'ReplicaSet',
]);
const REBUILDING: ReadonlySet<string> = new Set([
  'CronJob',
  'DaemonSet',
  'Deployment',
  'Job',
  'Node',
  'ReplicaSet',
  'ReplicationController',
  'Service',
  'StatefulSet',
]);
const BUILT_IN_GROUP = /^(apps|batch)\//;

/**
 * As it can be applied to another cluster.
 *
 * @returns undefined for what the next cluster makes itself: reports of machines and controllers, records of kube-apiserver, and what a
 *   built-in workload owns
 */
export function forApply(object: JsonObject, path: ObjectPath): JsonObject | undefined {
  if (isMadeAgain(object, path)) return undefined;
  // Owners have other uids in the next cluster: what names the old ones is collected as garbage.
  const bare = withMetadata(withoutServerFields(object), (name) => name !== 'ownerReferences');
  const change = BY_KIND[`${path.resource}.${path.group}`];
  return change === undefined ? bare : change(bare);
}

function isMadeAgain(object: JsonObject, path: ObjectPath): boolean {
  if (path.sealedAs !== undefined || REPORTED.has(`${path.resource}.${path.group}`)) return true;
  const metadata = objectAt(object, 'metadata');
  const labels = objectAt(metadata, 'labels');
  // Of kube-controller-manager's root-ca-cert-publisher, and of the aggregator for its own groups.
  if (path.kind === 'ConfigMap' && path.name === 'kube-root-ca.crt') return true;
  if (path.kind === 'APIService' && 'kube-aggregator.kubernetes.io/automanaged' in labels) return true;
  // kube-apiserver keeps these three for itself.
  if (path.name === 'kubernetes' && path.namespace === 'default')
    return path.kind === 'Service' || path.kind === 'Endpoints' || path.kind === 'EndpointSlice';
  const owners = metadata['ownerReferences'];
  const isOwned = Array.isArray(owners) && owners.some(isRebuildingOwner);
  return isOwned && path.kind !== undefined && MADE_BY_OWNERS.has(path.kind);
}

function isRebuildingOwner(owner: JsonValue): boolean {
  if (!isJsonObject(owner) || owner['controller'] !== true) return false;
  const { apiVersion, kind } = owner;
  return (
    typeof apiVersion === 'string' &&
    typeof kind === 'string' &&
    (apiVersion === 'v1' || BUILT_IN_GROUP.test(apiVersion)) &&
    REBUILDING.has(kind)
  );
}

const CONTROLLER_UIDS: ReadonlySet<string> = new Set([
  'batch.kubernetes.io/controller-uid',
  'controller-uid',
]);
const BINDING: ReadonlySet<string> = new Set([
  'pv.kubernetes.io/bind-completed',
  'pv.kubernetes.io/bound-by-controller',
]);
const SERVICE_ACCOUNT_UID = 'kubernetes.io/service-account.uid';

const BY_KIND: Readonly<Record<string, (object: JsonObject) => JsonObject>> = {
  // The job controller chooses a selector by the new uid; one that is given is refused unless manualSelector says so.
  'jobs.batch': (object) => {
    if (objectAt(object, 'spec')['manualSelector'] === true) return object;
    const isKept = (name: string): boolean => !CONTROLLER_UIDS.has(name);
    const spec = without(objectAt(object, 'spec'), (name) => name !== 'selector');
    return at(
      at({ ...object, spec }, ['spec', 'template', 'metadata', 'labels'], (labels) =>
        without(labels, isKept),
      ),
      ['metadata', 'labels'],
      (labels) => without(labels, isKept),
    );
  },
  // The scheduler, or whoever placed it, placed it on a machine of the old cluster.
  'pods.': (object) => at(object, ['spec'], (spec) => without(spec, (name) => name !== 'nodeName')),
  // The binder compares uids; without them both sides find each other by name again.
  'persistentvolumes.': (object) =>
    at(object, ['spec', 'claimRef'], (claim) =>
      without(claim, (name) => name !== 'uid' && name !== 'resourceVersion'),
    ),
  'persistentvolumeclaims.': (object) =>
    at(object, ['metadata', 'annotations'], (annotations) =>
      without(annotations, (name) => !BINDING.has(name)),
    ),
  // Tokens of the old cluster's service account: the token controller fills it again for the new one, and deletes it if its uid is wrong.
  'secrets.': (object) => {
    if (object['type'] !== 'kubernetes.io/service-account-token') return object;
    const { data: _data, ...rest } = object;
    return at(rest, ['metadata', 'annotations'], (annotations) =>
      without(annotations, (name) => name !== SERVICE_ACCOUNT_UID),
    );
  },
  // Addresses are of the old cluster's range; headless is a choice.
  'services.': (object) =>
    at(object, ['spec'], (spec) =>
      spec['clusterIP'] === 'None'
        ? spec
        : without(spec, (name) => !['clusterIP', 'clusterIPs', 'healthCheckNodePort'].includes(name)),
    ),
};

function withMetadata(object: JsonObject, isKept: (name: string) => boolean): JsonObject {
  return at(object, ['metadata'], (metadata) => without(metadata, isKept));
}

function objectAt(object: JsonObject, name: string): JsonObject {
  const value = object[name];
  return isJsonObject(value) ? value : {};
}

function without(object: JsonObject, isKept: (name: string) => boolean): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([name]) => isKept(name)));
}

/** A copy in which the object at the path is changed; the same where there is none. */
function at(
  object: JsonObject,
  path: readonly string[],
  change: (object: JsonObject) => JsonObject,
): JsonObject {
  const [name, ...rest] = path;
  if (name === undefined) return change(object);
  const value = object[name];
  return isJsonObject(value) ? { ...object, [name]: at(value, rest, change) } : object;
}
