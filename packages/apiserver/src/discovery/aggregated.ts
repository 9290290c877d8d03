/**
 * Aggregated discovery: every resource of every group in one document, with an ETag.
 *
 * Source of the rule: KEP-3352, apidiscovery.k8s.io v2 and v2beta1 (same fields) and k8s.io/apiserver
 * `endpoints/discovery/aggregated`.
 */
import { createHash } from 'node:crypto';
import type { JsonObject } from '@waxseal/api-types';
import { parseAccept } from '../http/negotiation.js';
import type { PathAnswer } from '../http/path-endpoint.js';
import type { ResourceDefinition, SubresourceDefinition } from '../registry/resource.js';
import type { ResourceGroup } from './resource-groups.js';

const GROUP = 'apidiscovery.k8s.io';
export type AggregatedVersion = 'v2' | 'v2beta1';

/** The version the client prefers over plain discovery; undefined: plain it is. */
export function aggregatedVersionOf(accept: string): AggregatedVersion | undefined {
  for (const { type, subtype, parameters } of parseAccept(accept)) {
    if (type !== 'application' || subtype !== 'json') continue;
    const version = parameters.get('v');
    if (parameters.get('as') === undefined) return undefined;
    if (parameters.get('as') !== 'APIGroupDiscoveryList' || parameters.get('g') !== GROUP) continue;
    if (version === 'v2' || version === 'v2beta1') return version;
  }
  return undefined;
}

function subresourceEntry(resource: ResourceDefinition, subresource: SubresourceDefinition): JsonObject {
  return {
    subresource: subresource.name,
    responseKind: {
      group: subresource.group ?? resource.group,
      version: subresource.version ?? resource.version,
      kind: subresource.kind,
    },
    verbs: subresource.verbs.toSorted(),
  };
}

function resourceEntry(resource: ResourceDefinition): JsonObject {
  const { group, version, kind, shortNames, categories, subresources } = resource;
  return {
    resource: resource.resource,
    responseKind: { group, version, kind },
    scope: resource.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: resource.singular,
    verbs: resource.verbs.toSorted(),
    ...(shortNames.length === 0 ? {} : { shortNames: [...shortNames] }),
    ...(categories.length === 0 ? {} : { categories: [...categories] }),
    ...(subresources.length === 0
      ? {}
      : { subresources: subresources.map((subresource) => subresourceEntry(resource, subresource)) }),
  };
}

export interface AggregatedDocument {
  answer(version: AggregatedVersion, ifNoneMatch: string | undefined): PathAnswer;
}

/** Built once per set of resources. */
export function aggregatedDocument(groups: readonly ResourceGroup[]): AggregatedDocument {
  const items = groups.map(({ name, versions }) => ({
    metadata: name === '' ? {} : { name },
    versions: versions.map(({ version, resources }) => ({
      version,
      resources: resources.map(resourceEntry),
      freshness: 'Current',
    })),
  }));
  const etag = `"${createHash('sha512').update(JSON.stringify(items)).digest('hex').toUpperCase()}"`;
  const bodies = new Map<AggregatedVersion, Buffer>();

  return {
    answer(version, ifNoneMatch) {
      const headers = ['ETag', etag, 'Vary', 'Accept'];
      const contentType = `application/json;g=${GROUP};v=${version};as=APIGroupDiscoveryList`;
      if (ifNoneMatch === etag) return { code: 304, contentType, body: Buffer.alloc(0), headers };
      let body = bodies.get(version);
      if (body === undefined) {
        const list = {
          kind: 'APIGroupDiscoveryList',
          apiVersion: `${GROUP}/${version}`,
          metadata: {},
          items,
        };
        body = Buffer.from(`${JSON.stringify(list)}\n`);
        bodies.set(version, body);
      }
      return { code: 200, contentType, body, headers };
    },
  };
}
