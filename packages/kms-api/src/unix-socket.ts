/**
 * Listening on a unix socket without ever taking one from a living process.
 *
 * A socket file outlives the process that made it. It is removed only after a connection to it was refused, which the
 * kernel does when nobody listens; anything else at the path stays untouched and is an error.
 */
import { lstat, stat, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { parseEndpoint, type SocketAddress } from './endpoint.js';
import { KmsApiError } from './errors.js';

export interface UnixListener {
  readonly address: SocketAddress;
  /** Stops accepting and removes the socket file; connections that stand are the caller's. */
  close(): Promise<void>;
}

export interface ListenUnixOptions {
  /** As `parseEndpoint` takes it. */
  readonly listen: string;
  readonly onConnection: (socket: Socket) => void;
  /** More connections than these at one time are closed on arrival. */
  readonly maxConnections: number;
}

// Only the owner may connect. The mask holds while bind runs, so there is no moment with a wider mode.
const privateUmask = 0o177;

/** @throws KmsApiError `invalid_endpoint`, `socket_in_use`, `socket_path_taken` or `socket_failed` */
export async function listenUnix(options: ListenUnixOptions): Promise<UnixListener> {
  const address = parseEndpoint(options.listen);
  if (address.kind === 'path') await removeStaleSocket(address);
  const server = createServer(options.onConnection);
  server.maxConnections = options.maxConnections;
  await bind(server, address);
  return {
    address,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        // close() waits for connections, and those belong to the caller: the listening handle is gone at once.
        resolve();
      }),
  };
}

function bind(server: Server, address: SocketAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EADDRINUSE') {
        reject(inUse(address, cause));
      } else {
        reject(socketFailed(address, cause));
      }
    });
    // bind(2) happens inside listen(), before it returns.
    const mask = process.umask(privateUmask);
    try {
      server.listen(address.netPath, () => {
        server.removeAllListeners('error');
        // Running out of file descriptors on accept must not end the process; the listener recovers by itself.
        server.on('error', () => {});
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
}

async function removeStaleSocket(address: SocketAddress): Promise<void> {
  // libuv reports a missing folder on bind as EACCES.
  await stat(dirname(address.netPath)).catch((cause: NodeJS.ErrnoException) => {
    throw socketFailed(address, cause);
  });
  const found = await lstat(address.netPath).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    throw socketFailed(address, cause);
  });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new KmsApiError(
      'socket_path_taken',
      `${address.netPath} exists and is not a socket. Remove it or listen elsewhere.`,
      { endpoint: address.url },
    );
  }
  const refusal = await connectionRefusal(address.netPath);
  if (refusal === 'ENOENT') return;
  if (refusal === undefined) throw inUse(address);
  // EACCES, or EAGAIN from a full backlog, say nothing about the owner being dead.
  if (refusal !== 'ECONNREFUSED') {
    throw new KmsApiError(
      'socket_failed',
      `${address.netPath} exists and cannot be tried (${refusal}). Make sure that no plugin uses it and remove it.`,
      { endpoint: address.url },
    );
  }
  const now = await lstat(address.netPath).catch(() => undefined);
  if (now === undefined) return;
  if (now.ino !== found.ino || now.dev !== found.dev) throw inUse(address);
  await unlink(address.netPath).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw socketFailed(address, cause);
  });
}

/** The error code of a connection attempt, or undefined when somebody answered. */
function connectionRefusal(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? 'unknown error');
    });
  });
}

function inUse(address: SocketAddress, cause?: unknown): KmsApiError {
  return new KmsApiError(
    'socket_in_use',
    `Another process listens on ${address.url}. Stop it or listen on another socket.`,
    { endpoint: address.url, cause },
  );
}

function socketFailed(address: SocketAddress, cause: NodeJS.ErrnoException): KmsApiError {
  const advice: Readonly<Record<string, string>> = {
    ENOENT: `the folder ${dirname(address.netPath)} does not exist; create it with mode 0700`,
    ENOTDIR: `${dirname(address.netPath)} is not a folder`,
    EACCES: `permission to ${dirname(address.netPath)} is missing`,
    EPERM: `permission to ${dirname(address.netPath)} is missing`,
    EROFS: `${dirname(address.netPath)} is on a read-only file system`,
  };
  const code = cause.code ?? 'unknown error';
  return new KmsApiError('socket_failed', `Cannot listen on ${address.url}: ${advice[code] ?? code}.`, {
    endpoint: address.url,
    cause,
  });
}
