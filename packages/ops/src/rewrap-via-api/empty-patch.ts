/**
 * A patch that changes nothing, so that an API server writes an object again exactly when it is stale: an empty server-side apply, or for servers that take
 * none an empty JSON merge patch.
 *
 * Both name the object's uid: without it an apply to an object deleted a moment ago would create it. The first one names its resourceVersion, too, so that
 * the answer tells whether this patch wrote it or somebody else did. That is what the storage version migrator of Kubernetes sends.
 *
 * Source of the rule: k8s.io/apiserver `endpoints/handlers/patch.go` (applyPatcher), `storage/etcd3/store.go` GuaranteedUpdate: an update that changes
 * nothing is left out unless the stored value is stale. An object without managed fields gets them with its first apply, and counts as rewritten.
 */
import { OpsError } from '../errors.js';
import { type ApiAnswer, type ApiClient, messageOf } from './api-client.js';
import type { ServedResource } from './resources.js';

export type PatchType = 'apply' | 'merge';

export interface ListedObject {
  readonly name: string;
  /** Empty when the resource has none. */
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

/** Of one resource. */
export interface Patcher {
  /** Undefined until the server has taken one. */
  readonly type: () => PatchType | undefined;
  /**
   * @param unchanged only if nobody wrote it since it was listed
   * @throws OpsError source-unreadable when the server takes no patch of the wanted type
   */
  send(object: ListedObject, unchanged: boolean): Promise<ApiAnswer>;
}

export type PatchOutcome = 'skipped' | 'rewritten' | 'conflicts' | 'gone' | 'failed';

const FIELD_MANAGER = 'waxseal-rewrap';
const METADATA_ONLY = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';
/** The server, or what stands before it, has no such patch. */
const NOT_TAKEN: ReadonlySet<number> = new Set([406, 415, 501]);

/** @param wanted undefined: apply, or merge where the server turns out to have no apply */
export function createPatcher(
  client: ApiClient,
  resource: ServedResource,
  wanted: PatchType | undefined,
): Patcher {
  let type = wanted;
  let turn: Promise<unknown> = Promise.resolve();
  const sendAs = (as: PatchType, object: ListedObject, unchanged: boolean): Promise<ApiAnswer> =>
    client.send({
      needs: { verb: 'patch', resource: resource.resource },
      path: `${objectPath(resource, object)}?fieldManager=${FIELD_MANAGER}`,
      accept: METADATA_ONLY,
      patch: bodyOf(as, resource, object, unchanged),
    });
  const sendKnown = async (as: PatchType, object: ListedObject, unchanged: boolean): Promise<ApiAnswer> => {
    const answer = await sendAs(as, object, unchanged);
    if (NOT_TAKEN.has(answer.status)) throw notTaken(resource, as, answer);
    return answer;
  };
  /** A server whose managed fields do not work answers 500 to every apply, one that fails at this object to a merge patch, too. */
  const decide = async (object: ListedObject, unchanged: boolean): Promise<ApiAnswer> => {
    if (type !== undefined) return sendKnown(type, object, unchanged);
    const applied = await sendAs('apply', object, unchanged);
    if (applied.status !== 500 && !NOT_TAKEN.has(applied.status)) {
      type = 'apply';
      return applied;
    }
    const merged = await sendAs('merge', object, unchanged);
    if (NOT_TAKEN.has(merged.status)) throw notTaken(resource, 'merge', merged);
    if (applied.status === 500 && merged.status !== 200) return applied;
    type = 'merge';
    return merged;
  };
  return {
    type: () => type,
    send(object, unchanged) {
      if (type !== undefined) return sendKnown(type, object, unchanged);
      // One after the other, until it is known.
      const own = turn.then(() => decide(object, unchanged));
      turn = own.catch(() => undefined);
      return own;
    },
  };
}

/** What an answer says became of the object, by the resourceVersion it had when it was listed. */
export function outcomeOf(answer: ApiAnswer, listed: ListedObject): PatchOutcome {
  switch (answer.status) {
    case 200: {
      const { resourceVersion } = (answer.body['metadata'] ?? {}) as { readonly resourceVersion?: unknown };
      return resourceVersion === listed.resourceVersion ? 'skipped' : 'rewritten';
    }
    case 404:
      return 'gone';
    case 409:
      return messageOf(answer).includes('uid mismatch') ? 'gone' : 'conflicts';
    case 422:
      // Another object has the name now.
      return isAboutUid(answer) ? 'gone' : 'failed';
    default:
      return 'failed';
  }
}

/** `/api/v1/namespaces/ns/secrets/a` */
export function objectPath(
  { root, resource, namespaced }: ServedResource,
  { namespace, name }: ListedObject,
): string {
  const inNamespace = namespaced ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${inNamespace}/${resource}/${encodeURIComponent(name)}`;
}

function bodyOf(
  as: PatchType,
  { apiVersion, kind, namespaced }: ServedResource,
  { name, namespace, uid, resourceVersion }: ListedObject,
  unchanged: boolean,
): { readonly contentType: string; readonly body: unknown } {
  const precondition = unchanged ? { uid, resourceVersion } : { uid };
  if (as === 'merge')
    return { contentType: 'application/merge-patch+json', body: { metadata: precondition } };
  const metadata = { name, ...(namespaced ? { namespace } : {}), ...precondition };
  // JSON is YAML.
  return { contentType: 'application/apply-patch+yaml', body: { apiVersion, kind, metadata } };
}

function isAboutUid({ body }: ApiAnswer): boolean {
  const { causes } = (body['details'] ?? {}) as { readonly causes?: unknown };
  return (
    Array.isArray(causes) &&
    (causes as readonly unknown[]).some(
      (cause) => (cause as { field?: unknown } | null)?.field === 'metadata.uid',
    )
  );
}

function notTaken({ resource }: ServedResource, type: PatchType, answer: ApiAnswer): OpsError {
  const words = { apply: 'server-side apply', merge: 'JSON merge patch' }[type];
  const other =
    type === 'apply' ? 'Say --patch-type auto or merge, or rewrap with --etcd' : 'Rewrap with --etcd';
  return new OpsError(
    'source-unreadable',
    `the API server takes no ${words} of ${resource} (${answer.status} ${messageOf(answer)}). ${other} instead.`,
  );
}
