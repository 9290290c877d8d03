/**
 * The health and metrics port: `/livez` says that the process runs, `/readyz` that it can answer calls, check by check,
 * `/metrics` is Prometheus text. Plain HTTP; nothing it says is secret.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { KeyServiceError } from '../errors.js';

export interface HealthAddress {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** 0: any free port. */
  readonly port: number;
}

export interface HealthCheck {
  readonly name: string;
  /** Undefined when all is well; otherwise what is wrong, safe to show. A rejection is a failure too. */
  run(): Promise<string | undefined>;
}

export interface HealthServer {
  /** `http://127.0.0.1:<port>`. */
  readonly endpoint: string;
  close(): Promise<void>;
}

const REQUEST_TIMEOUT_MS = 5_000;
const CHECK_TIMEOUT_MS = 2_000;
const MAX_CONNECTIONS = 64;

/** @throws KeyServiceError listen-failed */
export async function startHealthServer(
  { host = '127.0.0.1', port }: HealthAddress,
  checks: readonly HealthCheck[],
  registry: Registry,
): Promise<HealthServer> {
  const limits = { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS };
  const server = createServer(limits, (request, response) => {
    answer(request, response, checks, registry).catch(() => response.destroy());
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new KeyServiceError(
          'listen-failed',
          `The health port ${host}:${port} cannot be listened on. Choose a free port, or 0 for any.`,
          { cause },
        ),
      );
    });
    server.listen(port, host, resolve);
  });
  const shownHost = host.includes(':') ? `[${host}]` : host;
  return {
    endpoint: `http://${shownHost}:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  checks: readonly HealthCheck[],
  registry: Registry,
): Promise<void> {
  request.resume();
  const send = (status: number, body: string, type = 'text/plain; charset=utf-8'): void => {
    response.writeHead(status, {
      'Content-Type': type,
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') return send(405, 'Use GET.\n');
  switch ((request.url ?? '').split('?', 1)[0]) {
    case '/livez':
      return send(200, 'ok\n');
    case '/readyz': {
      const outcomes = await Promise.all(checks.map(runCheck));
      const lines = outcomes.map(({ name, problem }) =>
        problem === undefined ? `[+]${name} ok` : `[-]${name} failed: ${problem}`,
      );
      return send(
        outcomes.every(({ problem }) => problem === undefined) ? 200 : 503,
        `${lines.join('\n')}\n`,
      );
    }
    case '/metrics':
      return send(200, await registry.metrics(), registry.contentType);
    default:
      return send(404, 'There are /livez, /readyz and /metrics.\n');
  }
}

async function runCheck(
  check: HealthCheck,
): Promise<{ readonly name: string; readonly problem: string | undefined }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve('no answer in time'), CHECK_TIMEOUT_MS);
  });
  try {
    return { name: check.name, problem: await Promise.race([check.run(), late]) };
  } catch {
    return { name: check.name, problem: 'it does not answer' };
  } finally {
    clearTimeout(timer);
  }
}
