/**
 * Update: read, change, check, write if nobody else wrote in between, else again.
 *
 * PUT, PATCH and everything the server changes by itself go through `guaranteedUpdate`. An update that changes nothing
 * writes nothing unless the stored value is stale: that is how objects come under a new key.
 * Source of the rule: k8s.io/apiserver `registry/generic/registry/store.go` (Update), `storage/etcd3` GuaranteedUpdate,
 * `registry/rest/update.go` (BeforeUpdate).
 */
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '@waxseal/api-types';
import { admitGrant } from '../admission/rbac-escalation.js';
import type { StoredObject } from '../objects/object-store.js';
import { objectKey, type ObjectRef } from '../objects/storage-key.js';
import { encodeServed, encodeStored, serveStored } from '../objects/stored-object.js';
import { validateObjectMeta, validateObjectMetaUpdate } from '../registry/validation/object-meta.js';
import type { UpdateStrategy } from '../registry/strategy.js';
import type { RestContext, StoredEntry } from './context.js';
import type { RestResponse, UpdateRequest, UserInfo } from './contract.js';
import { createObject } from './create.js';
import { dropNulls } from './drop-nulls.js';
import { checkName, decode, serve } from './get.js';
import { parseResourceVersion } from './resource-version.js';
import { badRequest, conflict, invalid, notFound, OPTIMISTIC_LOCK_MESSAGE } from './status-errors.js';

export interface UpdateTarget {
  readonly entry: StoredEntry;
  readonly namespace: string;
  readonly name: string;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  /** Of the body: the resource's own, or a subresource's. */
  readonly strategy: UpdateStrategy;
}

/** The object to store, out of the current one (its resourceVersion filled in), which must not be changed. */
export type ProduceUpdate = (current: KubeObject) => KubeObject;

export interface UpdatedObject {
  /** JSON as served. */
  readonly bytes: Buffer;
  readonly object: KubeObject;
  /** The last finalizer is gone and with it the object. */
  readonly removed: boolean;
}

export async function update(
  context: RestContext,
  entry: StoredEntry,
  request: UpdateRequest,
  strategy: UpdateStrategy,
): Promise<RestResponse> {
  const { namespace, name, object, options, user, signal } = request;
  checkName(name);
  checkBodyName(object.metadata.name ?? '', name);
  const target: UpdateTarget = { entry, namespace, name, user, dryRun: options.dryRun, signal, strategy };
  const precondition = object.metadata.uid ?? '';
  try {
    const { bytes } = await guaranteedUpdate(context, target, (current) => {
      if (precondition !== '' && precondition !== current.metadata.uid) {
        throw uidConflict(entry, target, precondition, current);
      }
      return object;
    });
    return { kind: 'object', code: 200, object: bytes, warnings: [] };
  } catch (error) {
    if (!(error instanceof MissingObject)) throw error;
    if (!entry.strategy.allowCreateOnUpdate || request.subresource !== undefined) {
      throw notFound(entry.definition, name);
    }
    const fresh = { ...object, metadata: { ...object.metadata, name } };
    delete fresh.metadata.resourceVersion;
    const created = await createObject(context, target, fresh);
    return { kind: 'object', code: 201, object: created.bytes, warnings: [] };
  }
}

/** There is nothing to update; callers turn it into the answer that fits. */
export class MissingObject extends Error {}

/** @throws ApiError, or MissingObject */
export async function guaranteedUpdate(
  context: RestContext,
  target: UpdateTarget,
  produce: ProduceUpdate,
): Promise<UpdatedObject> {
  const { entry, namespace, name } = target;
  const ref: ObjectRef = { resource: entry.definition, namespace, name };
  // Each round that fails means that another write succeeded; the request's own deadline bounds them.
  for (;;) {
    target.signal.throwIfAborted();
    const { object: stored } = await context.objects.get(ref);
    if (stored === undefined) throw new MissingObject();
    const outcome = await attemptUpdate(context, target, ref, stored, produce);
    if (outcome !== undefined) return outcome;
  }
}

/** Undefined when the object changed in between. */
async function attemptUpdate(
  context: RestContext,
  target: UpdateTarget,
  ref: ObjectRef,
  stored: StoredObject,
  produce: ProduceUpdate,
): Promise<UpdatedObject | undefined> {
  const { entry, dryRun, user } = target;
  const { definition } = entry;
  const current = decode(entry, stored);
  current.metadata.resourceVersion = String(stored.revision);
  const next = prepare(target, dropNulls(produce(current)), current);
  admitGrant(context.auth, definition, user, next, current);
  check(target, next, current);

  if (mayGo(entry, next, current)) {
    const bytes = encodeServed(definition, next, stored.revision);
    if (dryRun) return { bytes, object: next, removed: true };
    const removal = await context.objects.remove(ref, stored.revision);
    if (removal.kind !== 'written') return undefined;
    context.removals.removed(entry, ref.namespace);
    return { bytes, object: next, removed: true };
  }

  const encoded = encodeStored(definition, next);
  if (!stored.stale && sameObject(encoded, stored, next, current)) {
    return { bytes: serve(entry, stored), object: current, removed: false };
  }
  if (dryRun) {
    return { bytes: encodeServed(definition, next, stored.revision), object: next, removed: false };
  }
  const outcome = await context.objects.replace(ref, encoded, stored.revision, entry.strategy.ttlSeconds);
  if (outcome.kind !== 'written') return undefined;
  return { bytes: serveStored(definition, encoded, outcome.revision), object: next, removed: false };
}

/** Checks the version the client saw and takes over what an update cannot change. */
function prepare(target: UpdateTarget, given: KubeObject, current: KubeObject): KubeObject {
  const { entry, name, namespace } = target;
  const { definition } = entry;
  const { metadata: old } = current;
  const seen = given.metadata.resourceVersion ?? '';
  if (parseResourceVersion(seen) !== 0 && seen !== old.resourceVersion) {
    throw conflict(definition, name, OPTIMISTIC_LOCK_MESSAGE);
  }
  const metadata = { ...given.metadata };
  metadata.name ??= name;
  checkBodyName(metadata.name, name);
  if (definition.namespaced) {
    const bodyNamespace = metadata.namespace ?? '';
    if (bodyNamespace !== '' && bodyNamespace !== namespace) {
      throw badRequest(
        'the namespace of the provided object does not match the namespace sent on the request',
      );
    }
    metadata.namespace = namespace;
  } else delete metadata.namespace;
  if ((metadata.uid ?? '') === '') setOrDelete(metadata, 'uid', old.uid);
  setOrDelete(metadata, 'generation', old.generation);
  if (old.creationTimestamp !== undefined) setOrDelete(metadata, 'creationTimestamp', old.creationTimestamp);
  if (old.deletionTimestamp !== undefined) {
    setOrDelete(metadata, 'deletionTimestamp', old.deletionTimestamp);
  }
  metadata.deletionGracePeriodSeconds ??= old.deletionGracePeriodSeconds as number;
  if (metadata.deletionGracePeriodSeconds === undefined) delete metadata.deletionGracePeriodSeconds;
  setOrDelete(metadata, 'resourceVersion', old.resourceVersion);
  return target.strategy.prepareForUpdate({ ...given, metadata }, current);
}

function checkBodyName(bodyName: string, name: string): void {
  if (bodyName !== '' && bodyName !== name) {
    throw badRequest(`the name of the object (${bodyName}) does not match the name on the URL (${name})`);
  }
}

function setOrDelete<T extends object, K extends keyof T>(target: T, key: K, value: T[K] | undefined): void {
  if (value === undefined) delete target[key];
  else target[key] = value;
}

function check(target: UpdateTarget, next: KubeObject, current: KubeObject): void {
  const { entry, strategy, name } = target;
  const errors = [
    ...validateObjectMeta(next.metadata, entry.definition.namespaced, entry.strategy.nameRule),
    ...validateObjectMetaUpdate(next.metadata, current.metadata),
    ...strategy.validateUpdate(next, current),
  ];
  if (errors.length > 0) throw invalid(entry.definition, name, errors);
}

/** The object was to be deleted, and nothing holds it any more. */
function mayGo(entry: StoredEntry, next: KubeObject, current: KubeObject): boolean {
  return (
    current.metadata.deletionTimestamp !== undefined &&
    (current.metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
    (next.metadata.finalizers ?? []).length === 0 &&
    entry.strategy.mayRemove(next)
  );
}

/** The order of fields tells nothing. */
function sameObject(encoded: Buffer, stored: StoredObject, next: KubeObject, current: KubeObject): boolean {
  return encoded.equals(stored.bytes) || isDeepStrictEqual(plain(next), plain(current));
}

function plain(object: KubeObject): unknown {
  return JSON.parse(JSON.stringify(object));
}

function uidConflict(
  entry: StoredEntry,
  target: UpdateTarget,
  precondition: string,
  current: KubeObject,
): Error {
  const { definition } = entry;
  const key = objectKey({ resource: definition, namespace: target.namespace, name: target.name });
  return conflict(
    definition,
    target.name,
    `StorageError: invalid object, Code: 4, Key: ${key.toString()}, ResourceVersion: 0, AdditionalErrorMsg: ` +
      `Precondition failed: UID in precondition: ${precondition}, UID in object meta: ${current.metadata.uid ?? ''}`,
  );
}
