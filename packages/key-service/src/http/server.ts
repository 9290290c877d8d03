/**
 * The listening socket: HTTPS (or plain HTTP on loopback), with limits on everything a caller can make large or slow.
 */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { AwsError } from '../aws-error.js';
import { KeyServiceError } from '../errors.js';
import type { HttpRequest, HttpResponse } from './message.js';

/** The largest request of the API (a key policy, escaped) stays far below. */
const MAX_BODY_BYTES = 1024 * 1024;
/**
 * A larger body is read and forgotten up to here before it is refused: a caller that is still writing when the connection closes
 * never sees the answer.
 */
const MAX_DISCARDED_BYTES = 16 * 1024 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** How often node:http looks for requests that take too long; its default of 30 s would treble the first timeout. */
const TIMEOUT_CHECK_INTERVAL_MS = 2_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Longer than the idle time of AWS SDK connections, so that the client is the one to close. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const MAX_CONNECTIONS = 10_000;

export type Transport =
  | { readonly kind: 'https'; readonly cert: string | Buffer; readonly key: string | Buffer }
  | { readonly kind: 'http' };

export type RequestHandler = (request: HttpRequest) => Promise<HttpResponse>;

export interface ListeningServer {
  readonly port: number;
  /** Stops accepting, answers the calls that have arrived in full, then closes every connection. */
  close(): Promise<void>;
}

/** @throws KeyServiceError listen-failed */
export async function listen(
  transport: Transport,
  host: string,
  port: number,
  handler: RequestHandler,
  logger: Logger,
  now: () => number,
): Promise<ListeningServer> {
  const date = createDateHeader(now);
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    noDelay: true,
  };
  const calls = new CallsUnderWay();
  const onRequest = (incoming: IncomingMessage, response: ServerResponse): void => {
    serve(incoming, response, handler, logger, date, calls);
  };
  const server: Server =
    transport.kind === 'https'
      ? createHttpsServer(
          {
            ...limits,
            handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
            cert: transport.cert,
            key: transport.key,
            minVersion: 'TLSv1.2',
            ALPNProtocols: ['http/1.1'],
          },
          onRequest,
        )
      : createHttpServer(limits, onRequest);
  server.maxConnections = MAX_CONNECTIONS;
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('clientError', (error, socket) => refuseBrokenRequest(error, socket as Socket));

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new KeyServiceError(
          'listen-failed',
          `The key service cannot listen on ${host}:${port}. ${adviceFor(error)}`,
          { cause: error },
        ),
      );
    });
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        // What is left then: connections without a whole request, which node:http would wait for, and no longer times out.
        calls.drain(() => {
          server.closeAllConnections();
          for (const socket of sockets) socket.destroy();
        });
      }),
  };
}

/** Counts the calls that have arrived in full and are not answered. */
class CallsUnderWay {
  #count = 0;
  #whenDone: (() => void) | undefined;

  /** From here on a caller that sends one call after the other on its connection is told to open another. */
  get draining(): boolean {
    return this.#whenDone !== undefined;
  }

  begin(response: ServerResponse): void {
    this.#count++;
    response.once('close', () => {
      this.#count--;
      if (this.#count === 0) this.#whenDone?.();
    });
  }

  drain(whenDone: () => void): void {
    this.#whenDone = whenDone;
    if (this.#count === 0) whenDone();
  }
}

function serve(
  incoming: IncomingMessage,
  response: ServerResponse,
  handler: RequestHandler,
  logger: Logger,
  date: () => string,
  calls: CallsUnderWay,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  incoming.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
    else chunks.length = 0;
    if (bytes > MAX_DISCARDED_BYTES && !response.headersSent) refuseTooLarge(incoming, response);
  });
  // A caller that goes away mid-request leaves nothing to answer.
  incoming.on('error', () => undefined);
  response.on('error', () => undefined);
  incoming.on('end', () => {
    if (bytes > MAX_BODY_BYTES) {
      if (!response.headersSent) refuseTooLarge(incoming, response);
      return;
    }
    calls.begin(response);
    const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    handler(toRequest(incoming, body))
      .then((answer) => send(response, answer, date(), calls.draining))
      .catch((error: unknown) => {
        logger.error({ err: error }, 'a request could not be answered');
        response.destroy();
      });
  });
}

function toRequest(incoming: IncomingMessage, body: Buffer): HttpRequest {
  const { rawHeaders, socket } = incoming;
  const headers = new Map<string, string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    const value = rawHeaders[i + 1] as string;
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before},${value}`);
  }
  return {
    method: incoming.method ?? '',
    target: incoming.url ?? '/',
    headers,
    body,
    sourceIpAddress: (socket.remoteAddress ?? '').replace(/^::ffff:/, ''),
    tls: socket instanceof TLSSocket ? tlsDetails(socket) : undefined,
  };
}

/** The same for the life of a connection, and asked for on every request. */
const detailsOfSocket = new WeakMap<TLSSocket, NonNullable<HttpRequest['tls']>>();

function tlsDetails(socket: TLSSocket): NonNullable<HttpRequest['tls']> {
  let details = detailsOfSocket.get(socket);
  if (details === undefined) {
    details = { version: socket.getProtocol() ?? '', cipherSuite: socket.getCipher().standardName };
    detailsOfSocket.set(socket, details);
  }
  return details;
}

/** SDKs set their clocks by this header, so it must tell the time signatures are judged by. */
function createDateHeader(now: () => number): () => string {
  let second = -1;
  let text = '';
  return () => {
    const thisSecond = Math.floor(now() / 1000);
    if (thisSecond !== second) {
      second = thisSecond;
      text = new Date(thisSecond * 1000).toUTCString();
    }
    return text;
  };
}

function send(response: ServerResponse, answer: HttpResponse, date: string, last: boolean): void {
  const headers = [
    'Date',
    date,
    'x-amzn-RequestId',
    answer.requestId,
    'Cache-Control',
    'no-cache, no-store, must-revalidate, private',
    'Content-Length',
    String(Buffer.byteLength(answer.body)),
  ];
  if (answer.contentType !== undefined) headers.push('Content-Type', answer.contentType);
  if (last) headers.push('Connection', 'close');
  response.writeHead(answer.status, headers);
  response.end(answer.body);
}

function refuseTooLarge(incoming: IncomingMessage, response: ServerResponse): void {
  const error = new AwsError(
    'RequestEntityTooLargeException',
    `The request is larger than ${MAX_BODY_BYTES} bytes.`,
  );
  response.writeHead(error.status, { 'Content-Type': 'application/x-amz-json-1.1', Connection: 'close' });
  response.end(error.body(), () => incoming.destroy());
}

/** What node:http itself finds wrong comes before any protocol: an HTTP status is all there is to say. */
function refuseBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  socket.end(`HTTP/1.1 ${statusFor(error)}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
}

function statusFor({ code }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return '431 Request Header Fields Too Large';
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return '408 Request Timeout';
    default:
      return '400 Bad Request';
  }
}

function adviceFor({ code }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'EACCES':
      return 'Ports below 1024 need the right to bind them: choose a higher one.';
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return 'This machine has no such address.';
    default:
      return 'Choose a free port, or 0 for any.';
  }
}
