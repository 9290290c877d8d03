/**
 * Create: one serialisation, one seal, one transaction.
 *
 * Source of the rule: k8s.io/apiserver `registry/generic/registry/store.go` (Create) and `registry/rest/create.go`.
 */
import type { KubeObject, ObjectMeta } from '@waxseal/api-types';
import { admitGrant } from '../admission/rbac-escalation.js';
import type { ObjectRef } from '../objects/storage-key.js';
import { decodeStored, encodeServed, encodeStored, serveStored } from '../objects/stored-object.js';
import { ApiError } from '../errors.js';
import { validateObjectMeta } from '../registry/validation/object-meta.js';
import type { RestContext, StoredEntry } from './context.js';
import type { RestResponse, UserInfo } from './contract.js';
import { dropNulls } from './drop-nulls.js';
import { alreadyExists, badRequest, generateNameConflict, internalError, invalid } from './status-errors.js';
import { generateName, newUid, timestamp } from './system-fields.js';

export interface CreateTarget {
  readonly entry: StoredEntry;
  readonly namespace: string;
  readonly user: UserInfo;
  readonly dryRun: boolean;
}

export interface CreatedObject {
  readonly name: string;
  /** JSON as served. */
  readonly bytes: Buffer;
}

/** Names that are tried when the server makes them up. */
const MAX_GENERATED_NAMES = 8;
/** The namespace changed under the create this often: something is badly wrong. */
const MAX_GUARD_FAILURES = 10;

export async function create(
  context: RestContext,
  target: CreateTarget,
  object: KubeObject,
): Promise<RestResponse> {
  const { bytes } = await createObject(context, target, object);
  return { kind: 'object', code: 201, object: bytes, warnings: [] };
}

/** @throws ApiError */
export async function createObject(
  context: RestContext,
  target: CreateTarget,
  object: KubeObject,
): Promise<CreatedObject> {
  const { name, generateName: base } = object.metadata;
  const generated = (name ?? '') === '' && (base ?? '') !== '';
  const attempts = generated ? MAX_GENERATED_NAMES : 1;
  for (let attempt = 1; ; attempt++) {
    const completed = complete(context, target, object);
    const outcome = await attemptCreate(context, target, completed);
    if (outcome !== undefined) return outcome;
    const existing = completed.metadata.name as string;
    if (attempt === attempts) {
      const of = target.entry.definition;
      throw generated ? generateNameConflict(of, existing) : await existsError(context, target, existing);
    }
  }
}

/** Fills in the system's metadata. */
function complete(context: RestContext, target: CreateTarget, given: KubeObject): KubeObject {
  const { definition, strategy } = target.entry;
  const object = dropNulls(given);
  const {
    deletionTimestamp: _deletionTimestamp,
    deletionGracePeriodSeconds: _deletionGracePeriodSeconds,
    resourceVersion = '',
    ...rest
  } = object.metadata;
  const metadata: ObjectMeta & { selfLink?: unknown } = rest;
  delete metadata.selfLink;
  if (resourceVersion !== '' && resourceVersion !== '0') {
    throw badRequest('resourceVersion should not be set on objects to be created');
  }
  const namespace = metadata.namespace ?? '';
  if (definition.namespaced) {
    if (namespace !== '' && namespace !== target.namespace) {
      throw badRequest(
        'the namespace of the provided object does not match the namespace sent on the request',
      );
    }
    metadata.namespace = target.namespace;
  } else delete metadata.namespace;
  if ((metadata.name ?? '') === '' && (metadata.generateName ?? '') !== '') {
    metadata.name = generateName(metadata.generateName as string, context.randomBytes);
  }
  metadata.uid = newUid(context.randomBytes);
  metadata.creationTimestamp = timestamp(context.now());
  return strategy.prepareForCreate({ ...object, metadata });
}

/** Undefined when the name is taken. */
async function attemptCreate(
  context: RestContext,
  target: CreateTarget,
  object: KubeObject,
): Promise<CreatedObject | undefined> {
  const { entry, namespace, user, dryRun } = target;
  const { definition, strategy } = entry;
  const name = object.metadata.name ?? '';
  let guard = definition.namespaced
    ? await context.namespaces.admit(namespace, definition, name, false)
    : undefined;
  admitGrant(context.auth, definition, user, object, undefined);
  const errors = [
    ...validateObjectMeta(object.metadata, definition.namespaced, strategy.nameRule),
    ...strategy.validate(object),
  ];
  if (errors.length > 0) throw invalid(definition, name, errors);

  const ref: ObjectRef = { resource: definition, namespace, name };
  if (dryRun) {
    const { object: existing } = await context.objects.get(ref);
    return existing === undefined ? { name, bytes: encodeServed(definition, object, 0) } : undefined;
  }
  const bytes = encodeStored(definition, object);
  for (let failures = 0; failures < MAX_GUARD_FAILURES; failures++) {
    const outcome = await context.objects.create(ref, bytes, strategy.ttlSeconds, guard);
    switch (outcome.kind) {
      case 'written':
        return { name, bytes: serveStored(definition, bytes, outcome.revision) };
      case 'changed':
        return undefined;
      case 'guard-failed':
        guard = await context.namespaces.admit(namespace, definition, name, true);
    }
  }
  throw internalError(`the namespace ${namespace} changes too fast, please try again`);
}

async function existsError(context: RestContext, target: CreateTarget, name: string): Promise<ApiError> {
  const { definition } = target.entry;
  const error = alreadyExists(definition, name);
  try {
    const { object } = await context.objects.get({
      resource: definition,
      namespace: target.namespace,
      name,
    });
    if (object === undefined) return error;
    const { deletionTimestamp } = decodeStored(definition, object.bytes).metadata;
    return deletionTimestamp === undefined
      ? error
      : new ApiError(409, 'AlreadyExists', `object is being deleted: ${error.message}`, error.details);
  } catch {
    // That the name is taken is all that is asked for; why the object cannot be read is not.
    return error;
  }
}
