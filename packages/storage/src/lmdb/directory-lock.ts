/**
 * One process to a data directory. The lock is an abstract unix socket named after the directory's device and inode:
 * the kernel gives a name to one listener only and takes it back when the process ends, however it ends, so a lock is
 * never stale. Whoever connects is told the holder's pid.
 *
 * Abstract sockets are Linux's, and each network namespace has its own; two containers that share a directory are found
 * out by LMDB's reader table instead (see open.ts).
 */
import { stat } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { StoreError } from '../store.js';

/** Long enough for a busy process to answer who it is. */
const HOLDER_TIMEOUT_MS = 2000;

export interface DirectoryLock {
  release(): Promise<void>;
}

export async function lockDirectory(path: string): Promise<DirectoryLock> {
  if (process.platform !== 'linux') return { release: () => Promise.resolve() };
  const { dev, ino } = await stat(path, { bigint: true });
  const name = `\0waxseal-store-${dev}-${ino}`;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(`${process.pid}\n`);
  });
  try {
    await listen(server, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    throw inUse(path, await holderPid(name));
  }
  server.unref();
  return {
    release: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

export function inUse(path: string, pid: number | undefined): StoreError {
  const who = pid === undefined ? 'another process' : `process ${pid}`;
  return new StoreError(
    'in-use',
    `the data directory ${path} is in use by ${who}; stop it, or choose another directory`,
  );
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path }, resolve);
  });
}

function holderPid(name: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ path: name });
    let text = '';
    const done = (): void => {
      socket.destroy();
      const pid = Number.parseInt(text, 10);
      resolve(Number.isSafeInteger(pid) && pid > 0 ? pid : undefined);
    };
    socket.setTimeout(HOLDER_TIMEOUT_MS, done);
    socket.on('data', (chunk) => {
      text = (text + chunk.toString('latin1')).slice(0, 20);
    });
    socket.on('error', done);
    socket.on('end', done);
  });
}
