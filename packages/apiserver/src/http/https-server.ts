/**
 * The TLS listener: limits against slow and oversized clients, and an orderly end.
 *
 * HTTP/1.1 only: every Kubernetes client speaks it, and one keep-alive connection costs this server less than HTTP/2
 * framing does (docs/decisions/0050).
 */
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Logger } from 'pino';
import type { RequestHandler } from './handler.js';

export interface TlsOptions {
  /** PEM, the chain included. */
  readonly cert: string | Buffer;
  /** PEM. */
  readonly key: string | Buffer;
  /** PEM; absent: client certificates are not asked for. */
  readonly clientCa?: string | Buffer | undefined;
}

export interface ListenOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
}

/** Tokens and a generous set of other headers. */
const MAX_HEADER_BYTES = 32 * 1024;
/** All headers must have arrived by then. */
const HEADERS_TIMEOUT_MS = 10_000;
/** And the whole body by then. */
const BODY_TIMEOUT_MS = 60_000;
/** How often the two above are checked. */
const CONNECTION_CHECK_INTERVAL_MS = 2_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Longer than clients keep an idle connection (90 s in Go), so that it is they who close it. */
const KEEP_ALIVE_TIMEOUT_MS = 120_000;
const MAX_CONNECTIONS = 10_000;

export interface HttpsListener {
  readonly port: number;
  readonly server: Server;
  /** Takes no more connections, waits for requests at work up to `graceMs`, then closes what is left. */
  close(graceMs: number): Promise<void>;
}

export interface ListenerTimeouts {
  readonly headersTimeoutMs?: number | undefined;
  readonly checkIntervalMs?: number | undefined;
}

/** @throws whatever listening throws, e.g. EADDRINUSE */
export async function listenHttps(
  handler: RequestHandler,
  listen: ListenOptions,
  tls: TlsOptions,
  logger: Logger,
  timeouts: ListenerTimeouts = {},
): Promise<HttpsListener> {
  let closing = false;
  const server = createServer(
    {
      cert: tls.cert,
      key: tls.key,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: timeouts.headersTimeoutMs ?? HEADERS_TIMEOUT_MS,
      requestTimeout: BODY_TIMEOUT_MS,
      connectionsCheckingInterval: timeouts.checkIntervalMs ?? CONNECTION_CHECK_INTERVAL_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      noDelay: true,
      // A bad certificate is answered with 401, which tells more than a broken handshake.
      ...(tls.clientCa === undefined
        ? {}
        : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: false }),
    },
    (request, response) => {
      if (closing) response.setHeader('Connection', 'close');
      handler(request, response);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;

  // Handshakes that fail and requests that are no HTTP are the client's affair: worth a debug line, no more.
  server.on('tlsClientError', (error) => logger.debug({ code: codeOf(error) }, 'TLS handshake failed'));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    logger.debug({ code: codeOf(error) }, 'malformed request');
    if (socket.writable && !socket.destroyed && error.code !== 'ECONNRESET') {
      socket.end(
        `HTTP/1.1 ${clientErrorStatus(error.code)}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
      );
    } else socket.destroy();
  });

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', (error) => logger.error({ code: codeOf(error) }, 'listener failed'));

  return {
    port: (server.address() as AddressInfo).port,
    server,
    close(graceMs) {
      closing = true;
      return new Promise((resolve) => {
        const force = setTimeout(() => server.closeAllConnections(), graceMs);
        // A connection becomes idle when its request ends; nothing tells, so it is looked for.
        const sweep = setInterval(() => server.closeIdleConnections(), 20);
        server.close(() => {
          clearTimeout(force);
          clearInterval(sweep);
          resolve();
        });
        server.closeIdleConnections();
      });
    },
  };
}

function codeOf(error: NodeJS.ErrnoException): string {
  return error.code ?? error.name;
}

function clientErrorStatus(code: string | undefined): string {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return '431 Request Header Fields Too Large';
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return '408 Request Timeout';
    default:
      return '400 Bad Request';
  }
}
