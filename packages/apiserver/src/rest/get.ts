/** Get: stored bytes, opened, with the resourceVersion spliced in. Source of the rule: k8s.io/apiserver `etcd3` Get. */
import { decodeStored, serveStored } from '../objects/stored-object.js';
import type { StoredObject } from '../objects/object-store.js';
import { pathSegmentErrors } from '../registry/validation/names.js';
import type { RestContext, StoredEntry } from './context.js';
import type { RestResponse } from './contract.js';
import { requireMinimum } from './resource-version.js';
import { badRequest, notFound, unreadable } from './status-errors.js';

/** @throws ApiError 400 for a name that cannot be part of a path */
export function checkName(name: string): void {
  const errors = pathSegmentErrors(name);
  if (errors.length > 0) {
    throw badRequest(`Name parameter invalid: ${JSON.stringify(name)}: ${errors.join(';')}`);
  }
}

export async function get(
  context: RestContext,
  entry: StoredEntry,
  request: { readonly namespace: string; readonly name: string; readonly resourceVersion: string },
): Promise<RestResponse> {
  const { definition } = entry;
  const { namespace, name, resourceVersion } = request;
  checkName(name);
  const { revision, object } = await context.objects.get({ resource: definition, namespace, name });
  if (resourceVersion !== '') requireMinimum(resourceVersion, revision);
  if (object === undefined) throw notFound(definition, name);
  return { kind: 'object', code: 200, object: serve(entry, object), warnings: [] };
}

/** @throws ApiError naming the key when the opened bytes are no object of this resource */
export function serve(entry: StoredEntry, object: StoredObject): Buffer {
  try {
    return serveStored(entry.definition, object.bytes, object.revision);
  } catch (cause) {
    throw unreadable([{ key: object.key.toString(), cause: cause as Error }]);
  }
}

/** @throws ApiError naming the key */
export function decode(entry: StoredEntry, object: StoredObject): ReturnType<typeof decodeStored> {
  try {
    return decodeStored(entry.definition, object.bytes);
  } catch (cause) {
    throw unreadable([{ key: object.key.toString(), cause: cause as Error }]);
  }
}
