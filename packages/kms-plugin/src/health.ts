/**
 * The health and metrics port.
 *
 * `/livez` says that the process runs and never asks the KMS, so that a KMS outage does not restart the plugin.
 * `/readyz` and `/healthz` say from memory whether the key can be used, operation by operation. `/metrics` is
 * Prometheus text.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { KmsPluginError } from './errors.js';
import { operations, type KeyHealth, type Operation, type OperationHealth } from './key-health.js';

export interface HealthAddress {
  /** An IP address or host name; `127.0.0.1` unless the port is meant to be reachable. */
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
}

export interface HealthServer {
  /** `http://host:port` */
  readonly endpoint: string;
  close(): Promise<void>;
}

const requestTimeoutMs = 5000;
const connectionsMax = 64;

/** @throws KmsPluginError `health_listen_failed` */
export async function startHealthServer(
  address: HealthAddress,
  health: KeyHealth,
  registry: Registry,
): Promise<HealthServer> {
  const server = createServer(
    { requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs },
    (request, response) => {
      void answer(request, response, health, registry);
    },
  );
  server.maxConnections = connectionsMax;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(
        new KmsPluginError(
          'health_listen_failed',
          `Cannot listen on ${address.host}:${address.port} for health checks (${cause.code ?? cause.name}). Choose another port.`,
          cause,
        ),
      );
    });
    server.listen(address.port, address.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return {
    endpoint: `http://${host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  health: KeyHealth,
  registry: Registry,
): Promise<void> {
  const send = (status: number, type: string, body: string): void => {
    response.writeHead(status, {
      'content-type': type,
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  const text = 'text/plain; charset=utf-8';
  request.resume();
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    send(405, text, 'Use GET.\n');
    return;
  }
  switch ((request.url ?? '').split('?', 1)[0]) {
    case '/livez':
      send(200, text, 'ok\n');
      return;
    case '/readyz':
    case '/healthz': {
      const lines = operations.map((operation) => describe(operation, health.of(operation)));
      send(health.summary() === 'ok' ? 200 : 503, text, `${lines.join('\n')}\n`);
      return;
    }
    case '/metrics':
      send(200, registry.contentType, await registry.metrics());
      return;
    default:
      send(404, text, 'There are /livez, /readyz, /healthz and /metrics.\n');
  }
}

function describe(operation: Operation, health: OperationHealth): string {
  if (health.kind === 'healthy') return `[+]${operation} ok`;
  if (health.kind === 'failing') return `[-]${operation} failed: ${health.error.message}`;
  return `[-]${operation} not tried yet`;
}
