/**
 * The pipeline every request runs through: authenticate, impersonate, authorise, route, answer. Whatever is thrown on
 * the way becomes a Status; nothing that happens to one request reaches another.
 *
 * Source of the rule: the order of kube-apiserver's filters. Authorisation comes before routing, so who may not ask
 * does not learn what exists.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { Attributes } from '../auth/attributes.js';
import { forbiddenByAuthorizer } from '../auth/attributes.js';
import { impersonate } from '../auth/impersonation.js';
import type { Authorizer } from '../auth/rbac.js';
import { ApiError } from '../errors.js';
import type { RequestMetrics } from '../metrics/request-metrics.js';
import type { UserInfo } from '../rest/contract.js';
import type { AuthenticateRequest } from './authenticate.js';
import { createExchange, type Exchange } from './exchange.js';
import type { PathEndpoint } from './path-endpoint.js';
import type { RequestInfo } from './request-info.js';
import { parseRequestInfo } from './request-info.js';
import { sendBody, sendStatus } from './respond.js';
import type { RestEndpoint } from './rest-endpoint.js';

export interface RequestHandlerOptions {
  readonly authenticate: AuthenticateRequest;
  readonly authorizer: Authorizer;
  readonly rest: RestEndpoint;
  readonly paths: readonly PathEndpoint[];
  readonly metrics: RequestMetrics;
  readonly logger: Logger;
  /** Everything but a watch ends by then. */
  readonly requestTimeoutMs: number;
  /** Requests at work at once, watches aside; more are told to come back. */
  readonly maxInFlight: number;
  /** Names an unexpected failure in the answer and in the log. */
  readonly newRequestId: () => string;
}

/** Counted for requests whose client left before there was an answer. */
const CLIENT_CLOSED_REQUEST = 499;

export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void;

function attributesOf(info: RequestInfo, user: UserInfo): Attributes {
  if (!info.isResource) return { kind: 'path', user, verb: info.verb, path: info.path };
  const { verb, group, resource, subresource, namespace, name } = info;
  return { kind: 'resource', user, verb, group, resource, subresource, namespace, name };
}

function wantsImpersonation(request: IncomingMessage): boolean {
  for (const header in request.headers) {
    if (header.startsWith('impersonate-')) return true;
  }
  return false;
}

function notFound(): ApiError {
  return new ApiError(404, 'NotFound', 'the server could not find the requested resource', {});
}

function timedOut(): ApiError {
  return new ApiError(
    504,
    'Timeout',
    'Timeout: request did not complete within requested timeout - context deadline exceeded',
    {},
  );
}

function tooBusy(): ApiError {
  return new ApiError(429, 'TooManyRequests', 'too many requests, please try again later', {
    retryAfterSeconds: 1,
  });
}

/**
 * What of an unexpected error may be logged. The message of a syntax error quotes the text that was parsed, which may
 * be a Secret.
 */
function safeErrorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { errorType: typeof error };
  const frames = (error.stack ?? '').split('\n').filter((line) => line.startsWith('    at '));
  return {
    errorName: error.name,
    ...(error instanceof SyntaxError ? {} : { errorMessage: error.message }),
    stack: frames.join('\n'),
  };
}

export function createRequestHandler(options: RequestHandlerOptions): RequestHandler {
  const { authenticate, authorizer, rest, paths, metrics, logger, requestTimeoutMs, maxInFlight } = options;
  let inFlight = 0;

  async function servePath(exchange: Exchange): Promise<void> {
    const { request, response, path, query } = exchange;
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      throw new ApiError(
        405,
        'MethodNotAllowed',
        `${request.method ?? ''} is not supported on this path`,
        {},
      );
    }
    const pathRequest = {
      path,
      query,
      accept: request.headers.accept ?? '',
      ifNoneMatch: request.headers['if-none-match'],
    };
    for (const endpoint of paths) {
      const answer = await endpoint(pathRequest);
      if (answer !== undefined) {
        await sendBody(request, response, answer.code, answer.contentType, answer.body, [], answer.headers);
        return;
      }
    }
    throw notFound();
  }

  async function serve(exchange: Exchange, info: RequestInfo): Promise<void> {
    const { request } = exchange;
    const authenticated = authenticate(request);
    let user = authenticated instanceof Promise ? await authenticated : authenticated;
    if (wantsImpersonation(request)) user = impersonate(authorizer, user, request.headersDistinct);
    const attributes = attributesOf(info, user);
    const decision = authorizer.authorize(attributes);
    if (!decision.allowed) throw forbiddenByAuthorizer(attributes, decision.reason);
    if (!info.isResource) return servePath(exchange);
    const route = rest.route(info);
    if (route === undefined) throw notFound();
    return rest.serve(exchange, info, route, user);
  }

  function unexpected(error: unknown, request: IncomingMessage): ApiError {
    const requestId = options.newRequestId();
    const path = (request.url ?? '').split('?', 1)[0];
    logger.error({ requestId, method: request.method, path, ...safeErrorFields(error) }, 'request failed');
    return new ApiError(
      500,
      'InternalError',
      `Internal error occurred: see request ${requestId} in the server's log`,
      { causes: [{ message: `see request ${requestId} in the server's log` }] },
    );
  }

  function fail(error: unknown, request: IncomingMessage, response: ServerResponse): void {
    const known = error instanceof ApiError ? error : unexpected(error, request);
    if (response.destroyed) return;
    if (response.headersSent) {
      // Half an answer must not look like a whole one.
      response.destroy();
      return;
    }
    sendStatus(request, response, known.toStatus());
  }

  async function run(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedNs = process.hrtime.bigint();
    let exchange: Exchange | undefined;
    let info: RequestInfo | undefined;
    let timer: NodeJS.Timeout | undefined;
    let counted = false;
    let failed = false;
    // After a timeout the work may still end one way or the other: the first failure is the answer.
    const failOnce = (error: unknown): void => {
      if (!failed) fail(error, request, response);
      failed = true;
    };
    // The end of the answer is the end of the request, even when what worked on it never returns.
    response.on('close', () => {
      if (counted) inFlight -= 1;
      clearTimeout(timer);
      if (!response.writableFinished) exchange?.abort(new Error('the client went away'));
      const code = response.headersSent ? response.statusCode : CLIENT_CLOSED_REQUEST;
      metrics.observe(info, code, Number(process.hrtime.bigint() - startedNs) / 1e9);
    });
    try {
      exchange = createExchange(request, response);
      info = parseRequestInfo(request.method ?? '', exchange.path, exchange.query);
      if (info.verb !== 'watch') {
        if (inFlight >= maxInFlight) throw tooBusy();
        inFlight += 1;
        counted = true;
        const late = exchange;
        timer = setTimeout(() => {
          const error = timedOut();
          late.abort(error);
          failOnce(error);
        }, requestTimeoutMs);
      }
      await serve(exchange, info);
    } catch (error) {
      failOnce(error);
    }
  }

  return (request, response) => {
    response.on('error', (error) => logger.debug({ errorName: error.name }, 'answer could not be written'));
    run(request, response).catch((error: unknown) => {
      logger.error(safeErrorFields(error), 'request handling failed');
      response.destroy();
    });
  };
}
