/**
 * From the JSON bytes of objects to what the client asked for: Table, metadata only, YAML, protobuf.
 *
 * Source of the rule: meta/v1 Table and PartialObjectMetadata; kube-apiserver `endpoints/handlers/response.go`. The
 * commonest answer, JSON as stored, never comes here.
 */
import {
  encodeKubeProtobuf,
  formatYaml,
  type JsonObject,
  type JsonValue,
  type KubeObject,
} from '@waxseal/api-types';
import { ApiError } from '../errors.js';
import type { ResourceDefinition } from '../registry/resource.js';
import { badRequest } from '../rest/status-errors.js';
import { tableColumns, tableRow } from '../table/table.js';
import { orBadRequest } from './bad-request.js';
import type { Conversion, Representation } from './negotiation.js';
import { MEDIA_TYPES } from './negotiation.js';

export type IncludeObject = 'Metadata' | 'Object' | 'None';

/** @throws ApiError 400 */
export function parseIncludeObject(text: string | null | undefined): IncludeObject {
  switch (text ?? '') {
    case '':
    case 'Metadata':
      return 'Metadata';
    case 'Object':
      return 'Object';
    case 'None':
      return 'None';
    default:
      throw badRequest(
        `Unable to convert to Table as requested: includeObject: Invalid value: ${JSON.stringify(text)}: must be 'Metadata', 'Object', 'None', or empty`,
      );
  }
}

export interface ListMetadata {
  readonly resourceVersion: string;
  readonly continue: string;
  readonly remainingItemCount?: number | undefined;
}

export interface RepresentationContext {
  readonly resource: ResourceDefinition;
  readonly includeObject: IncludeObject;
  readonly now: Date;
}

/** Parses bytes this server made itself. */
export function parseStored(bytes: Buffer): KubeObject {
  return JSON.parse(bytes.toString('utf8')) as KubeObject;
}

/** A ListMeta with its empty fields left out. */
export function listMetadata(list: ListMetadata): JsonObject {
  return {
    resourceVersion: list.resourceVersion,
    ...(list.continue === '' ? {} : { continue: list.continue }),
    ...(list.remainingItemCount === undefined ? {} : { remainingItemCount: list.remainingItemCount }),
  };
}

function json(value: unknown): JsonValue {
  return value as JsonValue;
}

function partial(object: KubeObject, version: string): JsonObject {
  return {
    kind: 'PartialObjectMetadata',
    apiVersion: `meta.k8s.io/${version}`,
    metadata: json(object.metadata),
  };
}

function rowObject(object: KubeObject, version: string, include: IncludeObject): JsonValue {
  if (include === 'Object') return json(object);
  return include === 'None' ? null : partial(object, version);
}

/** Columns as the wire has them: every field present. */
function columnDefinitions(resource: ResourceDefinition): JsonValue {
  return tableColumns(resource).map(({ name, type, format, description, priority }) => ({
    name,
    type,
    format: format ?? '',
    description,
    priority,
  }));
}

function table(
  objects: readonly KubeObject[],
  metadata: JsonObject,
  version: string,
  context: RepresentationContext,
  withColumns: boolean,
): JsonObject {
  const { resource, includeObject, now } = context;
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${version}`,
    metadata,
    columnDefinitions: withColumns ? columnDefinitions(resource) : null,
    rows: objects.map((object) => ({
      cells: tableRow(resource, object, now).cells,
      object: rowObject(object, version, includeObject),
    })),
  };
}

/**
 * One object converted; `withColumns` false for all but the first event of a watch.
 *
 * @throws ApiError 406 when a list was asked for
 */
export function convertObject(
  object: KubeObject,
  convert: Conversion,
  context: RepresentationContext,
  withColumns: boolean,
): JsonObject {
  switch (convert.kind) {
    case 'Table': {
      const metadata = { resourceVersion: object.metadata.resourceVersion ?? '' };
      return table([object], metadata, convert.version, context, withColumns);
    }
    case 'PartialObjectMetadata':
      return partial(object, convert.version);
    case 'PartialObjectMetadataList':
      throw new ApiError(
        406,
        'NotAcceptable',
        'you requested PartialObjectMetadataList, but the requested object is not a list; ask for PartialObjectMetadata',
      );
    default:
      return convert.kind satisfies never;
  }
}

/** @throws ApiError 406 when a single object was asked for */
export function convertList(
  objects: readonly KubeObject[],
  list: ListMetadata,
  convert: Conversion,
  context: RepresentationContext,
): JsonObject {
  switch (convert.kind) {
    case 'Table':
      return table(objects, listMetadata(list), convert.version, context, true);
    case 'PartialObjectMetadataList':
      return {
        kind: 'PartialObjectMetadataList',
        apiVersion: `meta.k8s.io/${convert.version}`,
        metadata: listMetadata(list),
        items: objects.map((object) => partial(object, convert.version)),
      };
    case 'PartialObjectMetadata':
      throw new ApiError(
        406,
        'NotAcceptable',
        'you requested PartialObjectMetadata, but the requested object is a list; ask for PartialObjectMetadataList',
      );
    default:
      return convert.kind satisfies never;
  }
}

/** The list itself, unconverted, as one object. */
export function wholeList(
  objects: readonly KubeObject[],
  list: ListMetadata,
  { group, version, listKind }: ResourceDefinition,
): JsonObject {
  return {
    kind: listKind,
    apiVersion: group === '' ? version : `${group}/${version}`,
    metadata: listMetadata(list),
    items: objects.map(json),
  };
}

export interface EncodedAnswer {
  readonly contentType: string;
  readonly body: Buffer;
}

export function encode(value: JsonObject, format: Representation['format']): EncodedAnswer {
  const contentType = MEDIA_TYPES[format];
  switch (format) {
    case 'json':
      return { contentType, body: Buffer.from(`${JSON.stringify(value)}\n`) };
    case 'yaml':
      return { contentType, body: Buffer.from(formatYaml(value)) };
    case 'protobuf':
      return { contentType, body: orBadRequest(() => encodeKubeProtobuf(value as unknown as KubeObject)) };
    default:
      return format satisfies never;
  }
}
