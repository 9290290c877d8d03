/**
 * The health and metrics port.
 *
 * `/livez` says that the process runs and never asks the KMS, so that a KMS outage does not restart the plugin.
 * `/readyz` and `/healthz` say from memory whether keys can be used, key set by key set and operation by operation. They differ only with
 * several key sets: `/readyz` is 503 when any of them fails, `/healthz` when all do, so that a liveness probe that asks it never takes a
 * working key away because an old one fails. `/readyz/NAME` and `/healthz/NAME` speak of one. `/metrics` is Prometheus text.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { KmsPluginError } from './errors.js';
import { operations, type KeyHealth, type OperationHealth } from './key-health.js';

export interface HealthAddress {
  /** An IP address or host name; `127.0.0.1` unless the port is meant to be reachable. Empty: every address of this machine. */
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Another path for `/healthz`, which then answers as well. */
  readonly healthzPath?: string | undefined;
  /** Another path for `/livez`. */
  readonly livezPath?: string | undefined;
}

/** What is asked about: a key set. */
export interface HealthSubject {
  readonly name: string;
  readonly health: KeyHealth;
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
  subjects: () => readonly HealthSubject[],
  registry: Registry,
): Promise<HealthServer> {
  const aliases: ReadonlyMap<string, string> = new Map([
    [address.healthzPath ?? '/healthz', '/healthz'],
    [address.livezPath ?? '/livez', '/livez'],
  ]);
  const server = createServer(
    { requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs },
    (request, response) => {
      const path = (request.url ?? '').split('?', 1)[0] ?? '';
      void answer(aliases.get(path) ?? path, request, response, subjects(), registry);
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
    // Without a host Node listens on every address, of IPv6 and IPv4.
    server.listen(
      address.host === '' ? { port: address.port } : { port: address.port, host: address.host },
      resolve,
    );
  });
  const { port } = server.address() as AddressInfo;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host || '127.0.0.1';
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
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
  subjects: readonly HealthSubject[],
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
  const [, endpoint, name] = /^\/(readyz|healthz)(?:\/(.+))?$/.exec(path) ?? [];
  if (endpoint !== undefined) {
    const asked = name === undefined ? subjects : subjects.filter((subject) => subject.name === name);
    if (asked.length === 0) {
      send(
        404,
        text,
        `There is no key set of that name, but ${subjects.map((subject) => subject.name).join(', ')}.\n`,
      );
      return;
    }
    const works = ({ health }: HealthSubject): boolean => health.summary() === 'ok';
    const ok = endpoint === 'readyz' ? asked.every(works) : asked.some(works);
    const lines = asked.flatMap(({ name: keySet, health }) => {
      const trouble = health.recipientTrouble();
      return [
        ...operations.map((operation) => describe(`${keySet} ${operation}`, health.of(operation))),
        ...(trouble === undefined ? [] : [`[-]${keySet} recipients failed: ${trouble.message}`]),
      ];
    });
    send(ok ? 200 : 503, text, `${lines.join('\n')}\n`);
    return;
  }
  switch (path) {
    case '/livez':
      send(200, text, 'ok\n');
      return;
    case '/metrics':
      send(200, registry.contentType, await registry.metrics());
      return;
    default:
      send(404, text, 'There are /livez, /readyz, /healthz and /metrics.\n');
  }
}

function describe(what: string, health: OperationHealth): string {
  if (health.kind === 'healthy') return `[+]${what} ok`;
  if (health.kind === 'failing') return `[-]${what} failed: ${health.error.message}`;
  return `[-]${what} not tried yet`;
}
