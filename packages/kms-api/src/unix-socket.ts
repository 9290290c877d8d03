/**
 * Listening on a unix socket without ever taking one from a living process.
 *
 * A socket file outlives the process that made it. It is removed only after a connection to it was refused, which the
 * kernel does when nobody listens; anything else at the path stays untouched and is an error.
 */
import { chmod, lchown, lstat, stat, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { parseEndpoint, type SocketAddress } from './endpoint.js';
import { KmsApiError } from './errors.js';
import { type InheritedSockets, urlOfInherited } from './inherited-sockets.js';

export interface UnixListener {
  /** As an EncryptionConfiguration names the socket. */
  readonly url: string;
  /** Stops accepting and removes the socket file; connections that stand are the caller's. */
  close(): Promise<void>;
}

export interface ListenUnixOptions {
  /** As `parseEndpoint` takes it, or `fd://NAME` for one of `inherited`. */
  readonly listen: string;
  /** Sockets that systemd made; they belong to it and are left as they are. */
  readonly inherited?: InheritedSockets | undefined;
  /** The number of the group that may connect as well (mode 0660); the owner alone otherwise (0600). */
  readonly groupId?: number | undefined;
  readonly onConnection: (socket: Socket) => void;
  /** More connections than these at one time are closed on arrival. */
  readonly maxConnections: number;
}

// Only the owner may connect. The mask holds while bind runs, so there is no moment with a wider mode.
const privateUmask = 0o177;
const groupMode = 0o660;

/** @throws KmsApiError `invalid_endpoint`, `socket_in_use`, `socket_path_taken` or `socket_failed` */
export async function listenUnix(options: ListenUnixOptions): Promise<UnixListener> {
  const server = createServer(options.onConnection);
  server.maxConnections = options.maxConnections;
  const url = options.listen.startsWith('fd://')
    ? await adopt(server, options.listen, options.inherited)
    : await bindOwn(server, options);
  return {
    url,
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

async function bindOwn(server: Server, { listen, groupId }: ListenUnixOptions): Promise<string> {
  const address = parseEndpoint(listen);
  if (address.kind === 'path') await removeStaleSocket(address);
  await bind(server, address.url, address.netPath);
  if (groupId === undefined || address.kind !== 'path') return address.url;
  try {
    // The group first: until the mode changes, only the owner may connect.
    await lchown(address.netPath, process.getuid?.() ?? -1, groupId);
    await chmod(address.netPath, groupMode);
  } catch (cause) {
    server.close();
    throw new KmsApiError(
      'socket_failed',
      `${address.url} cannot be given to group ${groupId} (${errorCode(cause)}). Be a member of that group, or run as root.`,
      { endpoint: address.url, cause },
    );
  }
  return address.url;
}

async function adopt(
  server: Server,
  listen: string,
  inherited: InheritedSockets | undefined,
): Promise<string> {
  const fd = inherited?.get(listen);
  if (fd === undefined) {
    const known = [...(inherited?.keys() ?? [])].join(', ');
    throw new KmsApiError(
      'invalid_endpoint',
      `No socket ${listen} was handed over by systemd${known === '' ? '; start the plugin by its socket unit' : `, but ${known}`}.`,
      { endpoint: listen },
    );
  }
  await bind(server, listen, { fd });
  return urlOfInherited(fd) ?? listen;
}

function bind(server: Server, url: string, target: string | { readonly fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EADDRINUSE') {
        reject(inUse(url, cause));
      } else {
        reject(socketFailed(url, cause));
      }
    });
    // bind(2) happens inside listen(), before it returns.
    const mask = process.umask(privateUmask);
    try {
      server.listen(target, () => {
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
    throw socketFailed(address.url, cause);
  });
  const found = await lstat(address.netPath).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    throw socketFailed(address.url, cause);
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
  if (refusal === undefined) throw inUse(address.url);
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
  if (now.ino !== found.ino || now.dev !== found.dev) throw inUse(address.url);
  await unlink(address.netPath).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw socketFailed(address.url, cause);
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

function inUse(url: string, cause?: unknown): KmsApiError {
  return new KmsApiError(
    'socket_in_use',
    `Another process listens on ${url}. Stop it or listen on another socket.`,
    { endpoint: url, cause },
  );
}

const errorCode = (cause: unknown): string =>
  cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : 'unknown error';

function socketFailed(url: string, cause: NodeJS.ErrnoException): KmsApiError {
  const folder = dirname(url.replace(/^unix:\/\//, ''));
  const advice: Readonly<Record<string, string>> = {
    ENOENT: `the folder ${folder} does not exist; create it with mode 0700`,
    ENOTDIR: `${folder} is not a folder`,
    EACCES: `permission to ${folder} is missing`,
    EPERM: `permission to ${folder} is missing`,
    EROFS: `${folder} is on a read-only file system`,
    EINVAL: 'it is no listening unix socket',
    ENOTSOCK: 'it is no listening unix socket',
  };
  const code = errorCode(cause);
  return new KmsApiError('socket_failed', `Cannot listen on ${url}: ${advice[code] ?? code}.`, {
    endpoint: url,
    cause,
  });
}
