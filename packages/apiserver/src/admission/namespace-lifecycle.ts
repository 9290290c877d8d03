/**
 * Nothing is created in a namespace that does not exist or is going away.
 *
 * Source of the rule: k8s.io/apiserver `admission/plugin/namespace/lifecycle` for what is refused and how it reads. We
 * are stricter where the reference races: the create is one transaction with the namespace's revision, so nothing can
 * slip into a namespace that was deleted in between (docs/decisions/0060-conditional-creates.md).
 */
import type { MirroredObject, ObjectMirror } from '../objects/object-mirror.js';
import type { Guard, ObjectStore } from '../objects/object-store.js';
import { objectKey, type StoredResource } from '../objects/storage-key.js';
import { decodeStored } from '../objects/stored-object.js';
import { isTerminating } from '../registry/namespaces.js';
import { forbidden, internalError, notFound, type Qualified } from '../rest/status-errors.js';

/** What is remembered of a namespace. */
export interface NamespaceState {
  readonly name: string;
  readonly terminating: boolean;
}

/** These can never be deleted. */
export const IMMORTAL_NAMESPACES: ReadonlySet<string> = new Set(['default', 'kube-system', 'kube-public']);

export interface NamespaceLifecycle {
  /**
   * The condition under which an object may be created in the namespace.
   *
   * @param fresh read the store instead of memory: after the condition failed once
   * @throws ApiError 404 when the namespace does not exist, 403 when it is terminating, 500 when it is one that every
   *   cluster has and could not be made yet
   */
  admit(namespace: string, of: Qualified, name: string, fresh: boolean): Promise<Guard>;
}

/** @param missingBecause why a namespace is not there yet, if it will be */
export function createNamespaceLifecycle(
  objects: ObjectStore,
  resource: StoredResource,
  mirror: ObjectMirror<NamespaceState>,
  missingBecause: (namespace: string) => string | undefined,
): NamespaceLifecycle {
  const read = async (name: string): Promise<MirroredObject<NamespaceState> | undefined> => {
    const { object } = await objects.get({ resource, namespace: '', name });
    if (object === undefined) return undefined;
    const terminating = isTerminating(decodeStored(resource, object.bytes));
    return { namespace: '', name, revision: object.revision, value: { name, terminating } };
  };

  return {
    async admit(namespace, of, name, fresh) {
      const remembered = fresh ? undefined : mirror.get('', namespace);
      // Memory lags behind the store, so a refusal is never given from memory.
      const state =
        remembered === undefined || remembered.value.terminating ? await read(namespace) : remembered;
      if (state === undefined) {
        const why = missingBecause(namespace);
        throw why === undefined
          ? notFound({ group: '', resource: 'namespaces' }, namespace)
          : internalError(`the namespace ${namespace} could not be created yet: ${why}`);
      }
      if (state.value.terminating) {
        throw forbidden(
          of,
          name,
          `unable to create new content in namespace ${namespace} because it is being terminated`,
          [
            {
              reason: 'NamespaceTerminating',
              message: `namespace ${namespace} is being terminated`,
              field: 'metadata.namespace',
            },
          ],
        );
      }
      return { key: objectKey({ resource, namespace: '', name: namespace }), revision: state.revision };
    },
  };
}
