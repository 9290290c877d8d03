/**
 * Delete: at once, or by a deletionTimestamp while finalizers hold the object.
 *
 * Source of the rule: k8s.io/apiserver `registry/generic/registry/store.go` (Delete,
 * deletionFinalizersForGarbageCollection), `registry/rest/delete.go` (BeforeDelete).
 */
import type { KubeObject } from '@waxseal/api-types';
import { IMMORTAL_NAMESPACES } from '../admission/namespace-lifecycle.js';
import type { Status } from '../errors.js';
import type { ObjectRef } from '../objects/storage-key.js';
import { encodeServed, encodeStored, serveStored } from '../objects/stored-object.js';
import type { StoredObject } from '../objects/object-store.js';
import { invalidValue } from '../registry/validation/field-error.js';
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER } from '../registry/validation/object-meta.js';
import { ApiError } from '../errors.js';
import type { RestContext, StoredEntry } from './context.js';
import type { DeleteCollectionRequest, DeleteOptions, RestResponse } from './contract.js';
import { IGNORE_READ_ERROR } from './delete-unreadable.js';
import { checkName, decode, serve } from './get.js';
import { listObjects } from './list.js';
import { conflict, forbidden, invalid, notFound } from './status-errors.js';
import { timestamp } from './system-fields.js';
import { parseObjectKey } from '../objects/storage-key.js';

export interface DeleteTarget {
  readonly namespace: string;
  readonly name: string;
  readonly options: DeleteOptions;
  readonly signal: AbortSignal;
}

export type DeleteOutcome =
  | { readonly kind: 'removed'; readonly object: KubeObject; readonly bytes: Buffer }
  /** Still there, with a deletionTimestamp. */
  | { readonly kind: 'waiting'; readonly object: KubeObject; readonly bytes: Buffer };

/** Deletes of a collection that run at once. */
const COLLECTION_CONCURRENCY = 32;

export async function remove(
  context: RestContext,
  entry: StoredEntry,
  target: DeleteTarget,
): Promise<RestResponse> {
  checkName(target.name);
  const outcome = await deleteObject(context, entry, target);
  if (outcome.kind === 'waiting' || entry.strategy.returnsDeletedObject) {
    return { kind: 'object', code: 200, object: outcome.bytes, warnings: [] };
  }
  return { kind: 'status', status: success(entry, outcome.object) };
}

/** @throws ApiError */
export async function deleteObject(
  context: RestContext,
  entry: StoredEntry,
  target: DeleteTarget,
): Promise<DeleteOutcome> {
  const { namespace, name } = target;
  if (isNamespace(entry) && IMMORTAL_NAMESPACES.has(name)) {
    throw forbidden(entry.definition, name, 'this namespace may not be deleted');
  }
  const ref: ObjectRef = { resource: entry.definition, namespace, name };
  for (;;) {
    target.signal.throwIfAborted();
    const { object: stored } = await context.objects.get(ref);
    if (stored === undefined) throw notFound(entry.definition, name);
    const outcome = await attemptDelete(context, entry, target, ref, stored);
    if (outcome !== undefined) return outcome;
  }
}

/** Undefined when the object changed in between. */
async function attemptDelete(
  context: RestContext,
  entry: StoredEntry,
  target: DeleteTarget,
  ref: ObjectRef,
  stored: StoredObject,
): Promise<DeleteOutcome | undefined> {
  const { definition, strategy } = entry;
  const { options } = target;
  const current = decode(entry, stored);
  checkPreconditions(entry, target, current, stored.revision);
  const finalizers = deletionFinalizers(current, options);
  if (finalizers.length === 0 && strategy.mayRemove(current)) {
    const bytes = serve(entry, stored);
    if (options.dryRun) return { kind: 'removed', object: current, bytes };
    const outcome = await context.objects.remove(ref, stored.revision);
    if (outcome.kind !== 'written') return undefined;
    context.removals.removed(entry, ref.namespace);
    return { kind: 'removed', object: current, bytes };
  }

  const marked = markDeleting(context, entry, current, finalizers);
  const encoded = encodeStored(definition, marked);
  if (options.dryRun) {
    return { kind: 'waiting', object: marked, bytes: encodeServed(definition, marked, stored.revision) };
  }
  let revision = stored.revision;
  if (!encoded.equals(stored.bytes)) {
    const outcome = await context.objects.replace(ref, encoded, revision, strategy.ttlSeconds);
    if (outcome.kind !== 'written') return undefined;
    revision = outcome.revision;
  }
  if (finalizers.includes(ORPHAN_FINALIZER) || finalizers.includes(FOREGROUND_FINALIZER)) {
    context.removals.waiting(entry, ref.namespace);
  }
  return { kind: 'waiting', object: marked, bytes: serveStored(definition, encoded, revision) };
}

function isNamespace(entry: StoredEntry): boolean {
  return entry.definition.group === '' && entry.definition.resource === 'namespaces';
}

function checkPreconditions(
  entry: StoredEntry,
  { name, options }: DeleteTarget,
  current: KubeObject,
  revision: number,
): void {
  const { uid, resourceVersion } = options.preconditions;
  // The reference names the kind here, not the resource.
  const of = { group: entry.definition.group, resource: entry.definition.kind };
  if (uid !== undefined && uid !== current.metadata.uid) {
    throw conflict(
      of,
      name,
      `the UID in the precondition (${uid}) does not match the UID in record (${current.metadata.uid ?? ''}). The object might have been deleted and then recreated`,
    );
  }
  if (resourceVersion !== undefined && resourceVersion !== String(revision)) {
    throw conflict(
      of,
      name,
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${revision}). The object might have been modified`,
    );
  }
}

/** The finalizers the object must wait for: its own, and the collector's as the propagation policy asks. */
function deletionFinalizers(current: KubeObject, options: DeleteOptions): string[] {
  const present = current.metadata.finalizers ?? [];
  // Once deletion has begun its way is fixed.
  if (current.metadata.deletionTimestamp !== undefined) return present;
  const others = present.filter((f) => f !== ORPHAN_FINALIZER && f !== FOREGROUND_FINALIZER);
  switch (options.propagationPolicy) {
    case 'Orphan':
      return [...others, ORPHAN_FINALIZER];
    case 'Foreground':
      return [...others, FOREGROUND_FINALIZER];
    case 'Background':
      return others;
    default:
      return present;
  }
}

function markDeleting(
  context: RestContext,
  entry: StoredEntry,
  current: KubeObject,
  finalizers: string[],
): KubeObject {
  const metadata = { ...current.metadata, finalizers };
  if (finalizers.length === 0) delete (metadata as Partial<typeof metadata>).finalizers;
  metadata.deletionTimestamp ??= timestamp(context.now());
  if (!isNamespace(entry)) metadata.deletionGracePeriodSeconds = 0;
  return entry.strategy.markDeleting({ ...current, metadata });
}

function success(entry: StoredEntry, object: KubeObject): Status {
  const { group, resource } = entry.definition;
  const { name, uid } = object.metadata;
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      ...(name === undefined ? {} : { name }),
      ...(group === '' ? {} : { group }),
      kind: resource,
      ...(uid === undefined ? {} : { uid }),
    },
  };
}

export async function removeCollection(
  context: RestContext,
  entry: StoredEntry,
  request: DeleteCollectionRequest,
): Promise<RestResponse> {
  const { definition } = entry;
  if (request.options.ignoreStoreReadErrorWithClusterBreakingPotential === true) {
    const why = 'is not allowed with DELETECOLLECTION, try again after removing the option';
    throw invalid({ group: 'meta.k8s.io', kind: 'DeleteOptions' }, '', [
      invalidValue(IGNORE_READ_ERROR, true, why),
    ]);
  }
  const found = await listObjects(context, entry, request);
  const remaining = [...found.objects];
  const worker = async (): Promise<void> => {
    for (let object = remaining.pop(); object !== undefined; object = remaining.pop()) {
      const id = parseObjectKey(definition, object.key);
      if (id === undefined) continue;
      try {
        await deleteObject(context, entry, { ...id, options: request.options, signal: request.signal });
      } catch (error) {
        // Somebody else was faster.
        if (!(error instanceof ApiError && error.reason === 'NotFound')) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: COLLECTION_CONCURRENCY }, worker));
  return {
    kind: 'list',
    resource: definition,
    resourceVersion: String(found.revision),
    continue: found.continue,
    remainingItemCount: found.remainingItemCount,
    items: found.objects.map((object) => serve(entry, object)),
  };
}
