/**
 * Discovery one document at a time: APIVersions, APIGroupList, APIGroup, APIResourceList.
 *
 * Source of the rule: meta/v1 and k8s.io/apiserver `endpoints/discovery`.
 */
import { createHash } from 'node:crypto';
import type { JsonObject } from '@waxseal/api-types';
import type { ResourceDefinition } from '../registry/resource.js';
import type { ResourceGroup, VersionResources } from './resource-groups.js';

/** @param serverAddress `host:port` clients should use */
export function apiVersions(core: ResourceGroup | undefined, serverAddress: string): JsonObject {
  return {
    kind: 'APIVersions',
    versions: core?.versions.map(({ version }) => version) ?? [],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
  };
}

function groupBody({ name, versions }: ResourceGroup): JsonObject {
  const list = versions.map(({ groupVersion, version }) => ({ groupVersion, version }));
  return { name, versions: list, preferredVersion: list[0] ?? null };
}

export function apiGroup(group: ResourceGroup): JsonObject {
  return { kind: 'APIGroup', apiVersion: 'v1', ...groupBody(group) };
}

export function apiGroupList(groups: readonly ResourceGroup[]): JsonObject {
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map(groupBody) };
}

/** Changes when objects begin to be stored as another kind; clients use it to see that two resources are one. */
function storageVersionHash({ group, version, kind }: ResourceDefinition): string {
  return createHash('sha256')
    .update(`${group}/${version}/${kind}`)
    .digest()
    .subarray(0, 8)
    .toString('base64');
}

function resourceEntries(resource: ResourceDefinition): JsonObject[] {
  const { resource: name, singular, namespaced, kind, verbs, shortNames, categories } = resource;
  const entry: JsonObject = {
    name,
    singularName: singular,
    namespaced,
    kind,
    verbs: verbs.toSorted(),
    ...(shortNames.length === 0 ? {} : { shortNames: [...shortNames] }),
    ...(categories.length === 0 ? {} : { categories: [...categories] }),
    ...(resource.storagePrefix === undefined ? {} : { storageVersionHash: storageVersionHash(resource) }),
  };
  const subresources = resource.subresources.map((subresource): JsonObject => ({
    name: `${name}/${subresource.name}`,
    singularName: '',
    namespaced,
    ...(subresource.group === undefined ? {} : { group: subresource.group }),
    ...(subresource.version === undefined ? {} : { version: subresource.version }),
    kind: subresource.kind,
    verbs: subresource.verbs.toSorted(),
  }));
  return [entry, ...subresources];
}

export function apiResourceList({ groupVersion, resources }: VersionResources): JsonObject {
  return {
    kind: 'APIResourceList',
    ...(groupVersion === 'v1' ? {} : { apiVersion: 'v1' }),
    groupVersion,
    resources: resources.flatMap(resourceEntries),
  };
}
