/**
 * `control.sock` in the data directory: how commands on this machine reach a running service for what no AWS API has: a backup,
 * moving the root key to another protector, asking who may, reading the configuration file again.
 *
 * HTTP over a unix socket. Who may write to the socket is its owner; there is no other authentication.
 */
import { lstatSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Logger } from 'pino';
import { parseObject } from '../audit/chain.js';
import { KeyServiceError } from '../errors.js';
import type { JsonObject } from '../http/json-body.js';

/** sun_path is 108 bytes with its final zero. */
const MAX_SOCKET_PATH_BYTES = 107;
const MAX_BODY_BYTES = 64 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;

export interface ControlActions {
  /** GET /status. */
  status(): Promise<JsonObject>;
  /** POST /backup: the file, piece by piece. */
  backup(): Promise<AsyncIterable<Buffer>>;
  /** POST /reseal. @throws KeyServiceError */
  reseal(request: JsonObject): Promise<JsonObject>;
  /** POST /explain-access: an AccessQuestion, answered with an AccessExplanation. @throws KeyServiceError invalid-option */
  explainAccess(request: JsonObject): Promise<JsonObject>;
  /** POST /reload: the configuration file. @throws KeyServiceError invalid-principals */
  reload(): Promise<JsonObject>;
}

export interface ControlServer {
  close(): Promise<void>;
}

/** Undefined when the data directory's path is too long for a socket. */
export function controlSocketPath(dataDir: string): string | undefined {
  const path = join(dataDir, 'control.sock');
  return Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES ? path : undefined;
}

/** @throws KeyServiceError listen-failed when another process answers there */
export async function startControlServer(
  dataDir: string,
  actions: ControlActions,
  logger: Logger,
): Promise<ControlServer> {
  const path = controlSocketPath(dataDir);
  if (path === undefined) {
    logger.warn(
      { dataDir },
      'the path of the data directory is too long for a socket: backup and reseal need the service stopped',
    );
    return { close: async () => undefined };
  }
  await removeStale(path);
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    serve(request, response, actions).catch((error: unknown) => {
      logger.error({ err: error }, 'a control request failed');
      if (!response.headersSent) fail(response, error);
      else response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(new KeyServiceError('listen-failed', `The control socket ${path} cannot be made.`, { cause }));
    });
    server.listen(path, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  actions: ControlActions,
): Promise<void> {
  const body = await readBody(request);
  switch (`${request.method} ${request.url}`) {
    case 'GET /status':
      return sendJson(response, 200, await actions.status());
    case 'POST /backup': {
      const file = await actions.backup();
      response.writeHead(200, { 'Content-Type': 'application/octet-stream' });
      // When the reading fails the connection is cut, so that nobody takes what came for the whole.
      await pipeline(file, response);
      return;
    }
    case 'POST /reseal':
      return sendJson(response, 200, await actions.reseal(parseObject(body) ?? {}));
    case 'POST /explain-access':
      return sendJson(response, 200, await actions.explainAccess(parseObject(body) ?? {}));
    case 'POST /reload':
      return sendJson(response, 200, await actions.reload());
    default:
      return sendJson(response, 404, {
        code: 'invalid-option',
        message: 'There is no such control request.',
      });
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES)
      throw new KeyServiceError('invalid-option', 'The control request is too large.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function fail(response: ServerResponse, error: unknown): void {
  const known = error instanceof KeyServiceError;
  sendJson(response, known ? 400 : 500, {
    code: known ? error.code : 'internal',
    message: known ? error.message : 'The service could not do it; its log says why.',
  });
}

function sendJson(response: ServerResponse, status: number, body: JsonObject): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
  });
  response.end(text);
}

/** A socket nobody listens on is what a killed process left. */
async function removeStale(path: string): Promise<void> {
  try {
    if (!lstatSync(path).isSocket()) {
      throw new KeyServiceError('listen-failed', `${path} is in the way: it is not a socket. Move it away.`);
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    throw error;
  }
  const alive = await new Promise<boolean>((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
  if (alive) {
    throw new KeyServiceError(
      'listen-failed',
      `Another key service answers at ${path}. Stop it, or choose another data directory.`,
    );
  }
  unlinkSync(path);
}
