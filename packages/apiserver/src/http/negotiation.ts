/**
 * Which representation the client wants.
 *
 * Source of the rule: RFC 9110 §12.5.1 and k8s.io/apiserver `endpoints/handlers/negotiation`: clauses by falling
 * quality, the first that can be served wins; `as`, `g` and `v` ask for another kind (Table, PartialObjectMetadata).
 */
import { ApiError } from '../errors.js';

export type MediaFormat = 'json' | 'yaml' | 'protobuf';

export const MEDIA_TYPES: Readonly<Record<MediaFormat, string>> = {
  json: 'application/json',
  yaml: 'application/yaml',
  protobuf: 'application/vnd.kubernetes.protobuf',
};

const SUPPORTED = Object.values(MEDIA_TYPES).join(', ');
const STREAMED = 'application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch';

export interface Conversion {
  readonly kind: 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList';
  /** `v1` or `v1beta1` of meta.k8s.io. */
  readonly version: string;
}

export interface Representation {
  readonly format: MediaFormat;
  readonly convert: Conversion | undefined;
}

export interface AcceptClause {
  readonly type: string;
  readonly subtype: string;
  readonly quality: number;
  readonly parameters: ReadonlyMap<string, string>;
}

const JSON_REPRESENTATION: Representation = { format: 'json', convert: undefined };

/** The clauses of an Accept header, best first. Quality 0 means never and is left out. */
export function parseAccept(header: string): readonly AcceptClause[] {
  const clauses: AcceptClause[] = [];
  for (const part of header.split(',')) {
    const [range = '', ...rest] = part.split(';');
    const [type = '', subtype = ''] = range.trim().toLowerCase().split('/');
    if (type === '') continue;
    const parameters = new Map<string, string>();
    let quality = 1;
    for (const parameter of rest) {
      const equals = parameter.indexOf('=');
      if (equals < 0) continue;
      const name = parameter.slice(0, equals).trim().toLowerCase();
      const value = parameter.slice(equals + 1).trim();
      if (name === 'q') quality = Number(value);
      else parameters.set(name, value.replaceAll('"', ''));
    }
    if (quality > 0) clauses.push({ type, subtype: subtype === '' ? '*' : subtype, quality, parameters });
  }
  return clauses.toSorted((a, b) => b.quality - a.quality);
}

function formatsOf(clause: AcceptClause): readonly MediaFormat[] {
  const formats = Object.keys(MEDIA_TYPES) as MediaFormat[];
  if (clause.type === '*') return clause.subtype === '*' ? formats : [];
  return formats.filter((format) => {
    const [type, subtype] = MEDIA_TYPES[format].split('/');
    return clause.type === type && (clause.subtype === '*' || clause.subtype === subtype);
  });
}

/** Undefined: the clause asks for something that is not served. */
function conversionOf(
  clause: AcceptClause,
  format: MediaFormat,
): { convert: Conversion | undefined } | undefined {
  const as = clause.parameters.get('as');
  const group = clause.parameters.get('g');
  const version = clause.parameters.get('v');
  if (as === undefined && group === undefined && version === undefined) return { convert: undefined };
  if (group !== 'meta.k8s.io' || (version !== 'v1' && version !== 'v1beta1')) return undefined;
  if (as === 'Table') return format === 'protobuf' ? undefined : { convert: { kind: as, version } };
  if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList')
    return { convert: { kind: as, version } };
  return undefined;
}

function choose(header: string, isWatch: boolean): Representation | undefined {
  for (const clause of parseAccept(header)) {
    for (const format of formatsOf(clause)) {
      // YAML has no framing, so it cannot be streamed.
      if (isWatch && format === 'yaml') continue;
      const conversion = conversionOf(clause, format);
      if (conversion !== undefined) return { format, convert: conversion.convert };
    }
  }
  return undefined;
}

function notAcceptable(accepted: string): ApiError {
  return new ApiError(406, 'NotAcceptable', `only the following media types are accepted: ${accepted}`);
}

/** Clients send a handful of different headers: each is parsed once. */
const CACHE_MAX_ENTRIES = 512;

export type Negotiate = (accept: string | undefined, isWatch: boolean) => Representation;

/** @returns a function that throws ApiError 406 when nothing the client accepts can be served */
export function createNegotiator(): Negotiate {
  const cache = new Map<string, Representation>();
  return (accept, isWatch) => {
    if (accept === undefined || accept === 'application/json' || accept === '') return JSON_REPRESENTATION;
    const key = isWatch ? `w${accept}` : accept;
    const known = cache.get(key);
    if (known !== undefined) return known;
    const chosen = choose(accept, isWatch);
    if (chosen === undefined) throw notAcceptable(isWatch ? STREAMED : SUPPORTED);
    if (cache.size < CACHE_MAX_ENTRIES && key.length < 1024) cache.set(key, chosen);
    return chosen;
  };
}

/** The media type of a Content-Type header without its parameters, lower case. */
export function mediaTypeOf(contentType: string | undefined): string {
  if (contentType === undefined) return '';
  const semicolon = contentType.indexOf(';');
  return (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
}

export function unsupportedMediaType(accepted: readonly string[]): ApiError {
  return new ApiError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  );
}
