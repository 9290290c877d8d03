/**
 * Requests for objects: from HTTP to a RestRequest, and from its answer back to HTTP.
 *
 * Source of the rule: kube-apiserver's installer (which verb is served where) and its handlers for create, get, list,
 * update, patch and delete, with their order of checks and their messages.
 */
import type { KubeObject } from '@waxseal/api-types';
import { ApiError } from '../errors.js';
import type { ResourceDefinition, SubresourceDefinition, Verb } from '../registry/resource.js';
import type {
  DeleteOptions,
  RestHandler,
  RestRequest,
  RestTarget,
  UserInfo,
  WatchRequest,
} from '../rest/contract.js';
import { badRequest, methodNotSupported } from '../rest/status-errors.js';
import { readBody } from './body.js';
import { decodeDeleteOptions, decodeObject, decodePatch, expectedKind, patchKindOf } from './decode.js';
import type { Exchange } from './exchange.js';
import type { Negotiate } from './negotiation.js';
import { parseDeleteBody, parseDeleteQuery, parseListOptions, parseWriteOptions } from './query-options.js';
import type { RepresentationContext } from './representation.js';
import { parseIncludeObject } from './representation.js';
import type { RequestInfo } from './request-info.js';
import { sendBody } from './respond.js';
import { answerList, answerObject } from './rest-answer.js';
import { serveWatch, type ServeWatchOptions } from './serve-watch.js';

export interface RestEndpointOptions extends ServeWatchOptions {
  readonly rest: RestHandler;
  readonly negotiate: Negotiate;
  readonly maxBodyBytes: number;
  readonly now: () => Date;
  /** How long a watch lasts when the client does not say, in milliseconds. */
  readonly watchTimeoutMs: () => number;
}

interface Route {
  readonly resource: ResourceDefinition;
  readonly subresource: SubresourceDefinition | undefined;
}

export interface RestEndpoint {
  /** Undefined when no such resource is served. */
  route(info: RequestInfo): Route | undefined;
  /** @throws ApiError */
  serve(exchange: Exchange, info: RequestInfo, route: Route, user: UserInfo): Promise<void>;
}

/** Verbs that act on a collection; every other needs a name, except create. */
const COLLECTION_VERBS: ReadonlySet<string> = new Set(['list', 'watch', 'deletecollection']);

function checkVerb(info: RequestInfo, { resource, subresource }: Route): Verb {
  const verbs: readonly string[] = subresource?.verbs ?? resource.verbs;
  const { verb, name } = info;
  const named = name !== '' && !COLLECTION_VERBS.has(verb);
  let served = verbs.includes(verb);
  if (verb === 'create') served &&= (subresource !== undefined) === named;
  else if (!COLLECTION_VERBS.has(verb)) served &&= named;
  if (resource.namespaced && info.namespace === '' && verb !== 'list' && verb !== 'watch') {
    // Only these two look across namespaces; creating a review needs none.
    served = false;
  }
  if (!served) throw methodNotSupported(resource, verb === '' ? 'this method' : verb);
  return verb as Verb;
}

function checkNamespaceAndName(object: KubeObject, target: RestTarget, name: string): void {
  const { metadata } = object;
  const given = metadata.namespace ?? '';
  if (given !== target.namespace) {
    if (given === '') metadata.namespace = target.namespace;
    else if (target.namespace === '') delete metadata.namespace;
    else {
      throw badRequest(
        'the namespace of the provided object does not match the namespace sent on the request',
      );
    }
  }
  if (name === '') return;
  if (metadata.name === undefined || metadata.name === '') {
    throw badRequest(
      `the name of the object (${name} based on URL) was undeterminable: name must be provided`,
    );
  }
  if (metadata.name !== name) {
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${name})`,
    );
  }
}

/** What is told to the client beside the answer. */
type Warnings = readonly string[];
const NO_WARNINGS: Warnings = [];

interface Built {
  readonly request: RestRequest;
  readonly warnings: Warnings;
}

// `target` is extended, not spread: its signal is made only when somebody asks for it.
async function buildWrite(
  exchange: Exchange,
  verb: 'create' | 'update',
  name: string,
  target: RestTarget,
  maxBodyBytes: number,
): Promise<Built> {
  const { request, query } = exchange;
  const options = parseWriteOptions(
    verb === 'create' ? 'CreateOptions' : 'UpdateOptions',
    query,
    request.headers['user-agent'],
  );
  const body = await readBody(request, maxBodyBytes);
  const { value: object, warnings } = decodeObject(
    body,
    request.headers['content-type'],
    expectedKind(target.resource, target.subresource),
    options.fieldValidation,
  );
  if (verb === 'create') {
    checkNamespaceAndName(object, target, '');
    const named = name === '' ? {} : { name };
    return { request: Object.assign(target, { verb, ...named, object, options }), warnings };
  }
  checkNamespaceAndName(object, target, name);
  return { request: Object.assign(target, { verb, name, object, options }), warnings };
}

async function readDeleteOptions({ request, query }: Exchange, maxBodyBytes: number): Promise<DeleteOptions> {
  const body = await readBody(request, maxBodyBytes);
  if (body.length === 0) return parseDeleteQuery(query);
  return parseDeleteBody(decodeDeleteOptions(body, request.headers['content-type']));
}

export function createRestEndpoint(options: RestEndpointOptions): RestEndpoint {
  const { rest, negotiate, maxBodyBytes, now, watchTimeoutMs } = options;

  let indexed: readonly ResourceDefinition[] | undefined;
  let index = new Map<string, ResourceDefinition>();

  function find(group: string, version: string, resource: string): ResourceDefinition | undefined {
    if (indexed !== rest.resources) {
      indexed = rest.resources;
      index = new Map(indexed.map((item) => [`${item.group}/${item.version}/${item.resource}`, item]));
    }
    return index.get(`${group}/${version}/${resource}`);
  }

  async function build(
    exchange: Exchange,
    info: RequestInfo,
    verb: Verb,
    target: RestTarget,
  ): Promise<Built> {
    const { request, query } = exchange;
    const { name } = info;
    switch (verb) {
      case 'create':
      case 'update':
        return buildWrite(exchange, verb, name, target, maxBodyBytes);
      case 'get': {
        const resourceVersion = query?.get('resourceVersion') ?? '';
        return { request: Object.assign(target, { verb, name, resourceVersion }), warnings: NO_WARNINGS };
      }
      case 'list':
        return {
          request: Object.assign(target, { verb, ...parseListOptions(query, false) }),
          warnings: NO_WARNINGS,
        };
      case 'watch': {
        const list = parseListOptions(query, true);
        const timeoutMs = list.timeoutMs ?? watchTimeoutMs();
        return { request: Object.assign(target, { verb, ...list, timeoutMs }), warnings: NO_WARNINGS };
      }
      case 'patch': {
        const patchKind = patchKindOf(request.headers['content-type']);
        const writeOptions = parseWriteOptions('PatchOptions', query, request.headers['user-agent']);
        const patch = decodePatch(await readBody(request, maxBodyBytes), patchKind);
        return {
          request: Object.assign(target, { verb, name, patchKind, patch, options: writeOptions }),
          warnings: NO_WARNINGS,
        };
      }
      case 'delete': {
        const deletion = await readDeleteOptions(exchange, maxBodyBytes);
        return { request: Object.assign(target, { verb, name, options: deletion }), warnings: NO_WARNINGS };
      }
      case 'deletecollection': {
        const list = parseListOptions(query, false);
        const deletion = await readDeleteOptions(exchange, maxBodyBytes);
        return {
          request: Object.assign(target, { verb, ...list, options: deletion }),
          warnings: NO_WARNINGS,
        };
      }
      default:
        return verb satisfies never;
    }
  }

  return {
    route(info) {
      if (info.hasMore) return undefined;
      const resource = find(info.group, info.version, info.resource);
      if (resource === undefined) return undefined;
      // What is not namespaced is not served below a namespace: a right in that namespace would open it. The path of
      // a namespace itself reads as being in that namespace.
      if (!resource.namespaced && info.namespace !== '') {
        if (info.group !== '' || info.resource !== 'namespaces' || info.name !== info.namespace)
          return undefined;
      }
      if (info.subresource === '') return { resource, subresource: undefined };
      const subresource = resource.subresources.find(({ name }) => name === info.subresource);
      return subresource === undefined ? undefined : { resource, subresource };
    },

    async serve(exchange, info, route, user) {
      const verb = checkVerb(info, route);
      const { request, response, query } = exchange;
      const representation = negotiate(request.headers.accept, verb === 'watch');
      const context: RepresentationContext = {
        resource: route.resource,
        get includeObject() {
          return parseIncludeObject(query?.get('includeObject'));
        },
        get now() {
          return now();
        },
      };
      const target: RestTarget = {
        resource: route.resource,
        subresource: route.subresource,
        namespace: route.resource.namespaced ? info.namespace : '',
        user,
        get signal() {
          return exchange.signal;
        },
      };
      const built = await build(exchange, info, verb, target);
      const answer = await rest.handle(built.request);
      switch (answer.kind) {
        case 'object':
          return answerObject(exchange, answer, representation, context, built.warnings);
        case 'list':
          return answerList(exchange, answer, representation, context);
        case 'status': {
          const body = Buffer.from(`${JSON.stringify(answer.status)}\n`);
          return sendBody(request, response, answer.status.code ?? 200, 'application/json', body);
        }
        case 'watch':
          return serveWatch(exchange, answer, representation, context, {
            ...options,
            timeoutMs: (built.request as WatchRequest).timeoutMs,
          });
        default:
          throw new ApiError(500, 'InternalError', `unknown answer ${String(answer satisfies never)}`);
      }
    },
  };
}
