/** Fills in what nearly all resource definitions have in common. */
import type { ResourceDefinition, Verb } from './resource.js';

/** In the order discovery lists them. */
export const ALL_VERBS: readonly Verb[] = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
];

/** A stored resource with every verb; `storagePrefix` defaults to `/registry/<resource>`. */
export function storedResource(
  special: Pick<ResourceDefinition, 'kind' | 'resource' | 'singular'> & Partial<ResourceDefinition>,
): ResourceDefinition {
  return {
    group: '',
    version: 'v1',
    listKind: `${special.kind}List`,
    shortNames: [],
    categories: [],
    namespaced: true,
    verbs: ALL_VERBS,
    storagePrefix: `/registry/${special.resource}`,
    subresources: [],
    ...special,
  };
}

/** A question that is answered and not stored. */
export function reviewResource(
  group: string,
  kind: string,
  resource: string,
  namespaced = false,
): ResourceDefinition {
  return {
    group,
    version: 'v1',
    kind,
    // Reviews have no list; discovery never shows this.
    listKind: `${kind}List`,
    resource,
    singular: kind.toLowerCase(),
    shortNames: [],
    categories: [],
    namespaced,
    verbs: ['create'],
    storagePrefix: undefined,
    subresources: [],
  };
}
