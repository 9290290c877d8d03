/**
 * Request bodies to objects: by content type, of the kind the resource takes, with unknown and duplicate fields
 * treated as the client asked.
 *
 * Source of the rule: kube-apiserver's create, update and patch handlers and their messages. None of them ever quotes
 * the body: it may be a Secret.
 */
import {
  decodeJsonObject,
  decodeKubeProtobuf,
  findType,
  parseJson,
  parseYaml,
  type JsonObject,
  type JsonValue,
  type KubeObject,
} from '@waxseal/api-types';
import { ApiError } from '../errors.js';
import type { ResourceDefinition, SubresourceDefinition } from '../registry/resource.js';
import type { FieldValidation, PatchKind } from '../rest/contract.js';
import { badRequest } from '../rest/status-errors.js';
import { orBadRequest } from './bad-request.js';
import { MEDIA_TYPES, mediaTypeOf, unsupportedMediaType } from './negotiation.js';

export interface Decoded<T> {
  readonly value: T;
  /** To be sent as Warning headers. */
  readonly warnings: readonly string[];
}

/** The kind a body must have. */
export interface ExpectedKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export function expectedKind(
  resource: ResourceDefinition,
  subresource: SubresourceDefinition | undefined,
): ExpectedKind {
  if (subresource === undefined) return resource;
  return {
    group: subresource.group ?? resource.group,
    version: subresource.version ?? resource.version,
    kind: subresource.kind,
  };
}

function apiVersionOf({ group, version }: ExpectedKind): string {
  return group === '' ? version : `${group}/${version}`;
}

function isJsonObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface Parsed {
  readonly value: JsonValue;
  readonly duplicates: readonly string[];
}

/** @throws ApiError 400, 415 */
function parse(body: Buffer, mediaType: string, findDuplicates: boolean): Parsed {
  return orBadRequest(() => parseAs(body, mediaType, findDuplicates));
}

function parseAs(body: Buffer, mediaType: string, findDuplicates: boolean): Parsed {
  switch (mediaType) {
    case '':
    case MEDIA_TYPES.json:
      return parseJson(body, { findDuplicates });
    case MEDIA_TYPES.yaml:
      return parseYaml(body, { findDuplicates });
    case MEDIA_TYPES.protobuf:
      // Decoded by number and type: what comes out has no unknown and no duplicate field.
      return { value: decodeKubeProtobuf(body) as unknown as JsonObject, duplicates: [] };
    default:
      throw unsupportedMediaType(Object.values(MEDIA_TYPES));
  }
}

function unrecognized(expected: ExpectedKind, why: string): ApiError {
  return badRequest(`the object provided is unrecognized (must be of type ${expected.kind}): ${why}`);
}

function checkKind(object: JsonObject, expected: ExpectedKind): void {
  const apiVersion = apiVersionOf(expected);
  const { kind = expected.kind, apiVersion: given = apiVersion } = object;
  if (typeof kind !== 'string' || typeof given !== 'string') {
    throw unrecognized(expected, 'kind and apiVersion must be strings');
  }
  if (kind !== '' && kind !== expected.kind) {
    const version = given.slice(given.lastIndexOf('/') + 1);
    throw badRequest(
      `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${expected.kind}: converting (${given}.${kind}) to (${apiVersion}.${expected.kind}): unknown conversion`,
    );
  }
  if (given !== '' && given !== apiVersion) {
    throw badRequest(
      `the API version in the data (${given}) does not match the expected API version (${apiVersion})`,
    );
  }
}

function cannotBeHandled({ kind, version }: ExpectedKind, why: string): ApiError {
  return badRequest(`${kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind}: ${why}`);
}

/** Unknown and duplicate fields: an error, warnings, or nothing. */
function strictness(
  expected: ExpectedKind,
  problems: readonly string[],
  fieldValidation: FieldValidation,
): readonly string[] {
  if (problems.length === 0 || fieldValidation === 'Ignore') return [];
  if (fieldValidation === 'Strict') {
    throw cannotBeHandled(expected, `strict decoding error: ${problems.join(', ')}`);
  }
  return problems;
}

/**
 * A whole object, for create and update.
 *
 * @throws ApiError 400, 415
 */
export function decodeObject(
  body: Buffer,
  contentType: string | undefined,
  expected: ExpectedKind,
  fieldValidation: FieldValidation,
): Decoded<KubeObject> {
  const mediaType = mediaTypeOf(contentType);
  if (body.length === 0) throw unrecognized(expected, 'the request body is empty');
  let parsed: Parsed;
  try {
    parsed = parse(body, mediaType, fieldValidation !== 'Ignore');
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 400) throw error;
    throw new ApiError(400, 'BadRequest', unrecognized(expected, error.message).message, undefined, {
      cause: error,
    });
  }
  const { value } = parsed;
  if (!isJsonObject(value)) throw unrecognized(expected, 'the body is not an object');
  checkKind(value, expected);

  let decoded = value;
  let warnings: readonly string[] = [];
  const type = findType(expected.group, expected.version, expected.kind);
  if (mediaType !== MEDIA_TYPES.protobuf && type !== undefined) {
    const { object, unknown, invalid } = decodeJsonObject(type, value);
    // What no field takes is dropped also when nobody wants to hear of it: it must not be stored.
    decoded = object;
    const [wrong] = invalid;
    if (wrong !== undefined) throw cannotBeHandled(expected, wrong.message);
    if (unknown.length > 0 || parsed.duplicates.length > 0) {
      const problems = [
        ...unknown.map((field) => `unknown field ${JSON.stringify(field)}`),
        ...parsed.duplicates.map((field) => `duplicate field ${JSON.stringify(field)}`),
      ];
      warnings = strictness(expected, problems, fieldValidation);
    }
  }
  const metadata = decoded['metadata'] ?? {};
  if (!isJsonObject(metadata)) throw cannotBeHandled(expected, 'metadata must be an object');
  const object = decoded as unknown as KubeObject;
  object.apiVersion = apiVersionOf(expected);
  object.kind = expected.kind;
  object.metadata = metadata;
  return { value: object, warnings };
}

const PATCH_TYPES: Readonly<Record<string, PatchKind>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
};

/** @throws ApiError 415 listing what is supported */
export function patchKindOf(contentType: string | undefined): PatchKind {
  const kind = PATCH_TYPES[mediaTypeOf(contentType)];
  if (kind === undefined) throw unsupportedMediaType(Object.keys(PATCH_TYPES));
  return kind;
}

/** @throws ApiError 400 */
export function decodePatch(body: Buffer, patchKind: PatchKind): JsonValue {
  if (body.length === 0) throw badRequest('the patch is empty');
  const { value } = parse(body, MEDIA_TYPES.json, false);
  if (patchKind === 'json' ? !Array.isArray(value) : !isJsonObject(value)) {
    throw badRequest(
      patchKind === 'json'
        ? 'a JSON patch is a list of operations'
        : 'a merge patch is an object with the fields to change',
    );
  }
  return value;
}

/** The DeleteOptions in a body, whatever group version it claims. @throws ApiError 400, 415 */
export function decodeDeleteOptions(body: Buffer, contentType: string | undefined): JsonObject {
  const { value } = parse(body, mediaTypeOf(contentType), false);
  if (!isJsonObject(value)) throw badRequest('the body of a delete is a DeleteOptions object');
  const { kind } = value;
  if (kind !== undefined && kind !== '' && kind !== 'DeleteOptions') {
    throw badRequest('decoded object cannot be converted to DeleteOptions');
  }
  return value;
}
