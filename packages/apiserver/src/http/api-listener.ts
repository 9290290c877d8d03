/**
 * The whole of HTTP over one RestHandler: authentication, authorisation, objects, discovery, health and metrics behind
 * one TLS listener. It knows nothing of storage, so it is tested over a RestHandler made for the test.
 */
import type { HealthCheck } from '@waxseal/encryption-config';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { AuthenticateToken } from '../auth/authenticator.js';
import type { Authorizer } from '../auth/rbac.js';
import type { ServiceAccountTokens } from '../auth/service-account-tokens.js';
import { createDiscoveryEndpoint } from '../discovery/discovery-endpoint.js';
import { createOpenApiEndpoint } from '../discovery/openapi-endpoint.js';
import { createOpenIdEndpoint } from '../discovery/openid-endpoint.js';
import { createVersionEndpoint } from '../discovery/version-endpoint.js';
import { createHealthEndpoint } from '../health/health-endpoint.js';
import { createMetricsEndpoint } from '../metrics/metrics-endpoint.js';
import { createRequestMetrics, registerWatchGauge } from '../metrics/request-metrics.js';
import type { RestHandler } from '../rest/contract.js';
import { createRequestAuthenticator } from './authenticate.js';
import { MAX_BODY_BYTES } from './body.js';
import { createRequestHandler } from './handler.js';
import type { ListenOptions, ListenerTimeouts, TlsOptions } from './https-server.js';
import { listenHttps } from './https-server.js';
import { createNegotiator } from './negotiation.js';
import { createRestEndpoint } from './rest-endpoint.js';
import type { WatchLimits } from './watch-stream.js';
import { DEFAULT_WATCH_LIMITS } from './watch-stream.js';

/** Limits and timeouts; the defaults are right for production. */
export interface ApiLimits extends ListenerTimeouts {
  readonly requestTimeoutMs?: number | undefined;
  readonly maxInFlight?: number | undefined;
  readonly maxBodyBytes?: number | undefined;
  readonly watch?: WatchLimits | undefined;
  readonly shutdownGraceMs?: number | undefined;
}

export interface ApiListenerOptions {
  readonly rest: RestHandler;
  readonly authorizer: Authorizer;
  readonly authenticateToken: AuthenticateToken;
  readonly serviceAccountTokens?: ServiceAccountTokens | undefined;
  /** Checks of readyz and healthz. */
  readonly healthChecks: () => readonly HealthCheck[];
  readonly listen: ListenOptions;
  readonly tls: TlsOptions;
  readonly logger: Logger;
  readonly registry: Registry;
  readonly now: () => Date;
  readonly randomBytes: (size: number) => Buffer;
  /** Of Waxseal. */
  readonly serverVersion: string;
  readonly limits?: ApiLimits | undefined;
}

export interface ApiListener {
  readonly url: string;
  readonly port: number;
  /** Ends watches, lets requests at work finish, closes the sockets. Idempotent. */
  close(): Promise<void>;
}

const REQUEST_TIMEOUT_MS = 60_000;
const MAX_IN_FLIGHT = 1_000;
const SHUTDOWN_GRACE_MS = 10_000;
const HEALTH_CHECK_TIMEOUT_MS = 5_000;
/** kube-apiserver's `--min-request-timeout`: a watch without `timeoutSeconds` lasts once to twice as long. */
const MIN_WATCH_TIMEOUT_MS = 1_800_000;

function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** @throws whatever listening or a bad certificate throws */
export async function startApiListener(options: ApiListenerOptions): Promise<ApiListener> {
  const { rest, authorizer, logger, registry, now, randomBytes, limits = {}, serviceAccountTokens } = options;
  const watches = new Set<() => void>();
  let shuttingDown = false;
  let port = options.listen.port;
  const address = (): string => hostPort(options.listen.host, port);
  const url = (): string => `https://${address()}`;

  registerWatchGauge(registry, () => watches.size);

  const restEndpoint = createRestEndpoint({
    rest,
    negotiate: createNegotiator(),
    maxBodyBytes: limits.maxBodyBytes ?? MAX_BODY_BYTES,
    now,
    watchTimeoutMs: () => MIN_WATCH_TIMEOUT_MS * (1 + randomBytes(4).readUInt32BE() / 2 ** 32),
    watchLimits: limits.watch ?? DEFAULT_WATCH_LIMITS,
    onWatch(end) {
      if (shuttingDown) setImmediate(end);
      watches.add(end);
      return () => watches.delete(end);
    },
    onOverflow: (reason) => logger.warn({ reason }, 'watch disconnected'),
  });

  const shutdownCheck: HealthCheck = {
    name: 'shutdown',
    check: () =>
      shuttingDown ? Promise.reject(new Error('the server is shutting down')) : Promise.resolve(),
  };

  const handler = createRequestHandler({
    authenticate: createRequestAuthenticator({ authenticateToken: options.authenticateToken, now }),
    authorizer,
    rest: restEndpoint,
    paths: [
      createDiscoveryEndpoint(() => rest.resources, address),
      createOpenApiEndpoint(() => rest.resources),
      createVersionEndpoint(options.serverVersion),
      createHealthEndpoint({
        checks: () => [...options.healthChecks(), shutdownCheck],
        logger,
        checkTimeoutMs: HEALTH_CHECK_TIMEOUT_MS,
      }),
      createMetricsEndpoint(registry),
      ...(serviceAccountTokens === undefined ? [] : [createOpenIdEndpoint(serviceAccountTokens, url)]),
    ],
    metrics: createRequestMetrics(registry, (info) => restEndpoint.route(info) !== undefined),
    logger,
    requestTimeoutMs: limits.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
    maxInFlight: limits.maxInFlight ?? MAX_IN_FLIGHT,
    newRequestId: () => randomBytes(8).toString('hex'),
  });

  const listener = await listenHttps(handler, options.listen, options.tls, logger, limits);
  port = listener.port;

  let closed: Promise<void> | undefined;
  return {
    url: url(),
    port,
    close() {
      shuttingDown = true;
      for (const end of watches) end();
      closed ??= listener.close(limits.shutdownGraceMs ?? SHUTDOWN_GRACE_MS);
      return closed;
    },
  };
}
