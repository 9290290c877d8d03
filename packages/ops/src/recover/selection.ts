/** Which objects are wanted: all, or those of some resources, of one namespace, of one name. */
import { formatGroupResource, type GroupResource } from '@waxseal/encryption-config';
import type { ObjectPath } from '../object-path.js';

export interface Selection {
  /** Undefined: every resource. */
  readonly resources?: readonly GroupResource[] | undefined;
  /** Undefined: every namespace, and what has none. The Namespace object of that name belongs to it. */
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}

export function createSelector({ resources, namespace, name }: Selection): (path: ObjectPath) => boolean {
  const wanted = resources && new Set(resources.map(formatGroupResource));
  return (path) =>
    (wanted === undefined || wanted.has(formatGroupResource(path))) &&
    (namespace === undefined || namespaceOf(path) === namespace) &&
    (name === undefined || path.name === name);
}

function namespaceOf(path: ObjectPath): string {
  return path.group === '' && path.resource === 'namespaces' ? path.name : path.namespace;
}
