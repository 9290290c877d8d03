/**
 * `/openapi/v3` (an index with hashes, and one document per group version) and `/openapi/v2` (one document, JSON or
 * protobuf). Both are made on the first request: clients that do not validate never pay for them.
 *
 * Source of the rule: k8s.io/kube-openapi `handler3` and `handler`.
 */
import { createHash } from 'node:crypto';
import type { JsonObject } from '@waxseal/api-types';
import { parseAccept } from '../http/negotiation.js';
import type { PathAnswer, PathEndpoint } from '../http/path-endpoint.js';
import { openApiV2 } from '../openapi/v2.js';
import { openApiV3 } from '../openapi/v3.js';
import type { ResourceDefinition } from '../registry/resource.js';

const V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
/** What clients ask for. No media type may hold an `@`, so client-go refuses it in an answer. */
const V2_PROTOBUF_WITH_AT = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
const V3_PREFIX = '/openapi/v3/';

interface Specs {
  readonly v3: { index(): JsonObject; document(groupVersionPath: string): Buffer | undefined };
  readonly v2: () => { readonly json: Buffer; readonly protobuf: Buffer };
}

function specsOf(resources: readonly ResourceDefinition[]): Specs {
  let v2: { readonly json: Buffer; readonly protobuf: Buffer } | undefined;
  return { v3: openApiV3(resources), v2: () => (v2 ??= openApiV2(resources)) };
}

function wantsProtobuf(accept: string): boolean {
  for (const { type, subtype } of parseAccept(accept)) {
    const mediaType = `${type}/${subtype}`;
    if (mediaType === V2_PROTOBUF || mediaType === V2_PROTOBUF_WITH_AT) return true;
    if (mediaType === 'application/json' || mediaType === '*/*') return false;
  }
  return false;
}

/** 304 when the client has it. A document asked for by its hash never changes. */
function cacheable(
  body: Buffer,
  contentType: string,
  ifNoneMatch: string | undefined,
  immutable: boolean,
): PathAnswer {
  const etag = `"${createHash('sha512').update(body).digest('hex').toUpperCase()}"`;
  const headers = [
    'ETag',
    etag,
    'Vary',
    'Accept',
    ...(immutable ? ['Expires', 'Thu, 31 Dec 2099 23:59:59 GMT'] : []),
  ];
  if (ifNoneMatch === etag) return { code: 304, contentType, body: Buffer.alloc(0), headers };
  return { code: 200, contentType, body, headers };
}

export function createOpenApiEndpoint(resources: () => readonly ResourceDefinition[]): PathEndpoint {
  let specs: Specs | undefined;
  let builtFrom: readonly ResourceDefinition[] | undefined;

  return ({ path, query, accept, ifNoneMatch }) => {
    if (!path.startsWith('/openapi/')) return undefined;
    const current = resources();
    if (specs === undefined || builtFrom !== current) {
      specs = specsOf(current);
      builtFrom = current;
    }
    if (path === '/openapi/v3' || path === V3_PREFIX) {
      const body = Buffer.from(`${JSON.stringify(specs.v3.index())}\n`);
      return cacheable(body, 'application/json', ifNoneMatch, false);
    }
    if (path.startsWith(V3_PREFIX)) {
      const body = specs.v3.document(path.slice(V3_PREFIX.length));
      if (body === undefined) return undefined;
      return cacheable(body, 'application/json', ifNoneMatch, query?.has('hash') === true);
    }
    if (path === '/openapi/v2') {
      const { json, protobuf } = specs.v2();
      return wantsProtobuf(accept)
        ? cacheable(protobuf, V2_PROTOBUF, ifNoneMatch, false)
        : cacheable(json, 'application/json', ifNoneMatch, false);
    }
    return undefined;
  };
}
