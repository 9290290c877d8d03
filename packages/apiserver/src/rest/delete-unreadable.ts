/**
 * Deletes an object that can no longer be opened or decoded, because its key is lost or its bytes are damaged.
 *
 * For that the client sets `ignoreStoreReadErrorWithClusterBreakingPotential` and needs a right of its own. Finalizers
 * and preconditions cannot be read, so nothing holds the object. What can be read is not deleted this way.
 * Source of the rule: KEP-3926; k8s.io/apiserver `registry/generic/registry/corrupt_obj_deleter.go` and
 * `endpoints/handlers/delete.go` (authorizeUnsafeDelete).
 */
import { objectKey, type ObjectRef } from '../objects/storage-key.js';
import { decodeStored } from '../objects/stored-object.js';
import { invalidValue } from '../registry/validation/field-error.js';
import type { RestContext, StoredEntry } from './context.js';
import type { DeleteRequest, RestResponse } from './contract.js';
import { checkName } from './get.js';
import { forbidden, invalid } from './status-errors.js';

/** The field of DeleteOptions, for messages. */
export const IGNORE_READ_ERROR = 'ignoreStoreReadErrorWithClusterBreakingPotential';
const VERB = 'unsafe-delete-ignore-read-errors';

/** @throws ApiError 403 without the right to, 422 when the object can be read or is not there */
export async function removeUnreadable(
  context: RestContext,
  entry: StoredEntry,
  request: DeleteRequest,
): Promise<RestResponse> {
  const { definition } = entry;
  const { namespace, name, signal, user } = request;
  checkName(name);
  authorize(context, request);
  const ref: ObjectRef = { resource: definition, namespace, name };
  const key = objectKey(ref);
  for (;;) {
    signal.throwIfAborted();
    const { kv } = await context.objects.store.get(key);
    const failure = kv === undefined ? undefined : await readFailure(context, ref, kv);
    if (kv === undefined || failure === undefined) {
      const why = 'is exclusively used to delete corrupt object(s), try again by removing this option';
      const kind = definition.resource;
      throw invalid({ group: definition.group, kind }, name, [invalidValue(IGNORE_READ_ERROR, true, why)]);
    }
    // Only what was found unreadable goes: another write in between is looked at again.
    const outcome = await context.objects.remove(ref, kv.modRevision);
    if (outcome.kind !== 'written') continue;
    context.logger.warn(
      { key: key.toString(), user: user.name, err: failure },
      'an object that cannot be read was deleted on request',
    );
    context.removals.removed(entry, namespace);
    return {
      kind: 'status',
      status: {
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Success',
        details: { name, kind: definition.kind },
        code: 200,
      },
    };
  }
}

/** Undefined when the object can be read. */
async function readFailure(
  { objects }: RestContext,
  { resource }: ObjectRef,
  kv: Parameters<RestContext['objects']['open']>[1],
): Promise<unknown> {
  try {
    const { bytes } = await objects.open(resource, kv);
    decodeStored(resource, bytes);
    return undefined;
  } catch (error) {
    return error;
  }
}

function authorize({ auth }: RestContext, { resource, namespace, name, user }: DeleteRequest): void {
  const { allowed, reason } = auth.authorizer.authorize({
    kind: 'resource',
    user,
    verb: VERB,
    group: resource.group,
    resource: resource.resource,
    subresource: '',
    namespace,
    name,
  });
  if (!allowed) throw forbidden(resource, name, `not permitted to do "${VERB}", reason: ${reason}`);
}
