/**
 * Patch: the current object, changed by a JSON patch, merge patch or strategic merge patch, then updated.
 *
 * A patch that names a resourceVersion fails when the object has another; one that names none is applied again to what
 * the others wrote. Source of the rule: k8s.io/apiserver `endpoints/handlers/patch.go`.
 */
import {
  decodeJsonObject,
  findType,
  type JsonObject,
  type JsonValue,
  type KubeObject,
  type ObjectType,
} from '@waxseal/api-types';
import { applyJsonPatch } from '../patch/json-patch.js';
import { applyMergePatch } from '../patch/merge.js';
import { applyStrategicMergePatch } from '../patch/strategic.js';
import type { UpdateStrategy } from '../registry/strategy.js';
import { ApiError } from '../errors.js';
import { apiVersionOf } from '../objects/stored-object.js';
import type { RestContext, StoredEntry } from './context.js';
import type { PatchRequest, RestResponse } from './contract.js';
import { checkName } from './get.js';
import { badRequest, notFound } from './status-errors.js';
import { guaranteedUpdate, MissingObject } from './update.js';

export async function patch(
  context: RestContext,
  entry: StoredEntry,
  request: PatchRequest,
  strategy: UpdateStrategy,
): Promise<RestResponse> {
  const { namespace, name, options, user, signal } = request;
  checkName(name);
  const { group, version, kind } = entry.definition;
  const type = findType(group, version, kind);
  const warnings = new Set<string>();
  try {
    const { bytes } = await guaranteedUpdate(
      context,
      { entry, namespace, name, user, dryRun: options.dryRun, signal, strategy },
      (current) => {
        warnings.clear();
        const patched = apply(request, type, current);
        return finish(entry, request, type, patched, warnings);
      },
    );
    return { kind: 'object', code: 200, object: bytes, warnings: [...warnings] };
  } catch (error) {
    if (error instanceof MissingObject) throw notFound(entry.definition, name);
    throw error;
  }
}

function apply(request: PatchRequest, type: ObjectType | undefined, current: KubeObject): JsonValue {
  // The patch functions may share structure with their target, which is compared with later.
  const target = JSON.parse(JSON.stringify(current)) as JsonObject;
  switch (request.patchKind) {
    case 'json':
      return applyJsonPatch(target, request.patch);
    case 'merge':
      return applyMergePatch(target, request.patch);
    default:
      if (type === undefined) {
        throw new ApiError(
          415,
          'UnsupportedMediaType',
          'the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json',
        );
      }
      return applyStrategicMergePatch(type, target, request.patch);
  }
}

/** What came out must be an object of the kind, with the fields its type has. */
function finish(
  entry: StoredEntry,
  request: PatchRequest,
  type: ObjectType | undefined,
  patched: JsonValue,
  warnings: Set<string>,
): KubeObject {
  const { kind } = entry.definition;
  if (typeof patched !== 'object' || patched === null || Array.isArray(patched)) {
    throw badRequest(`the patch leaves no ${kind}, it must leave an object`);
  }
  checkKind(entry, patched);
  let object: JsonObject = patched;
  if (type !== undefined) {
    const decoded = decodeJsonObject(type, patched);
    const [wrong] = decoded.invalid;
    if (wrong !== undefined) throw invalidPatch(wrong.message);
    const unknown = decoded.unknown.map((field) => `unknown field ${JSON.stringify(field)}`);
    const { fieldValidation } = request.options;
    if (unknown.length > 0 && fieldValidation === 'Strict') {
      throw invalidPatch(`strict decoding error: ${unknown.join(', ')}`);
    }
    if (fieldValidation === 'Warn') for (const field of unknown) warnings.add(field);
    object = decoded.object;
  }
  const { metadata } = object;
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw badRequest(`the patch leaves a ${kind} without metadata`);
  }
  return { ...object, kind, metadata } as unknown as KubeObject;
}

/** A patch changes an object, it does not make another kind of it. */
function checkKind(entry: StoredEntry, patched: JsonObject): void {
  const { kind, apiVersion } = patched;
  const expected = apiVersionOf(entry.definition);
  if (kind === undefined && apiVersion === undefined) return;
  if ((kind ?? entry.definition.kind) !== entry.definition.kind || (apiVersion ?? expected) !== expected) {
    throw invalidPatch(
      `no kind ${JSON.stringify(kind ?? '')} is registered for version ${JSON.stringify(apiVersion ?? '')} here; a patch cannot change kind or apiVersion`,
    );
  }
}

/** The reference quotes the patch here; it may hold a secret, so we do not. */
function invalidPatch(why: string): ApiError {
  const message = `Invalid value: ${why}`;
  return new ApiError(422, 'Invalid', ` "" is invalid: patch: ${message}`, {
    causes: [{ reason: 'FieldValueInvalid', message, field: 'patch' }],
  });
}
