/** Listening for the front: TCP, or a unix socket that only its owner may open. */
import { lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { StoreError } from '../store.js';

export type ListenAddress =
  { readonly host: string; /** 0: a free one. */ readonly port: number } | { readonly path: string };

export interface Listener {
  /** 0 on a unix socket. */
  readonly port: number;
  /** Stops accepting; connections that stand stay. */
  close(): Promise<void>;
}

/** @throws StoreError `in-use` when the address is taken; `invalid-argument` when it cannot be listened on */
export async function listen(
  address: ListenAddress,
  onConnection: (socket: Socket) => void,
): Promise<Listener> {
  if ('path' in address) await removeStaleSocket(address.path);
  const server = createServer(onConnection);
  await bind(server, address);
  // Running out of file descriptors must not end the process; accepting goes on when there are some again.
  server.on('error', () => {});
  return {
    port: 'path' in address ? 0 : (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      }),
  };
}

export function describeAddress(address: ListenAddress): string {
  return 'path' in address ? `unix://${address.path}` : `${address.host}:${address.port}`;
}

function bind(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const where = describeAddress(address);
      reject(
        cause.code === 'EADDRINUSE'
          ? new StoreError('in-use', `Another process listens on ${where}. Stop it or choose another port.`, {
              cause,
            })
          : new StoreError('invalid-argument', `Cannot listen on ${where}: ${cause.message}.`, { cause }),
      );
    });
    const listening = (): void => {
      server.removeAllListeners('error');
      resolve();
    };
    if (!('path' in address)) {
      server.listen({ host: address.host, port: address.port }, listening);
      return;
    }
    // bind(2) happens inside listen(), so there is no moment in which others may connect.
    const mask = process.umask(0o177);
    try {
      server.listen(address.path, listening);
    } finally {
      process.umask(mask);
    }
  });
}

/** Removes a socket file only when a connection to it is refused, which means that nobody listens. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new StoreError('in-use', `${path} exists and is not a socket. Remove it or listen elsewhere.`);
  }
  const refused = await new Promise<boolean>((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ECONNREFUSED');
    });
  });
  if (!refused)
    throw new StoreError('in-use', `Another process listens on ${path}. Stop it or listen elsewhere.`);
  await unlink(path);
}
