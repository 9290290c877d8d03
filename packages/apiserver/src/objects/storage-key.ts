/**
 * Where an object lies in storage.
 *
 * Source of the rule: k8s.io/apiserver `registry/generic/registry` (NamespaceKeyFunc, NoNamespaceKeyFunc) and the
 * prefixes kube-apiserver gives its resources; see docs/formats/registry-layout.md. The whole key, as UTF-8, is also
 * the authenticated data of the sealed value.
 */
import type { ResourceDefinition } from '../registry/resource.js';

/** A stored resource: one with a storage prefix. */
export type StoredResource = ResourceDefinition & { readonly storagePrefix: string };

export interface ObjectRef {
  readonly resource: StoredResource;
  /** Empty for cluster-scoped resources. */
  readonly namespace: string;
  readonly name: string;
}

export function isStored(resource: ResourceDefinition): resource is StoredResource {
  return resource.storagePrefix !== undefined;
}

/** `/registry/secrets/<namespace>/<name>` or `/registry/clusterroles/<name>`. */
export function objectKey(ref: ObjectRef): Buffer {
  const { resource, namespace, name } = ref;
  return Buffer.from(
    resource.namespaced
      ? `${resource.storagePrefix}/${namespace}/${name}`
      : `${resource.storagePrefix}/${name}`,
  );
}

/** The prefix, with its trailing slash, of every object of a resource, or of those in one namespace. */
export function objectKeyPrefix(resource: StoredResource, namespace: string): string {
  return resource.namespaced && namespace !== ''
    ? `${resource.storagePrefix}/${namespace}/`
    : `${resource.storagePrefix}/`;
}

/** Namespace and name out of a storage key; undefined when the key is no object of this resource. */
export function parseObjectKey(
  resource: StoredResource,
  key: Buffer,
): { readonly namespace: string; readonly name: string } | undefined {
  const text = key.toString();
  const start = resource.storagePrefix.length + 1;
  if (!text.startsWith(`${resource.storagePrefix}/`)) return undefined;
  const slash = text.indexOf('/', start);
  if (!resource.namespaced) {
    return slash === -1 ? { namespace: '', name: text.slice(start) } : undefined;
  }
  if (slash === -1 || text.includes('/', slash + 1)) return undefined;
  return { namespace: text.slice(start, slash), name: text.slice(slash + 1) };
}
