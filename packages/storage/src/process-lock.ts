/**
 * One process to a name. The lock is an abstract unix socket: the kernel gives a name to one listener only and takes it back when the
 * process ends, however it ends, so a lock is never stale. Whoever connects is told the holder's pid.
 *
 * Abstract sockets are Linux's, and each network namespace has its own: elsewhere, and between containers or machines that share a folder,
 * whoever takes a lock needs another way to find the other out.
 */
import { connect, createServer } from 'node:net';

export interface ProcessLock {
  release(): Promise<void>;
}

/** Somebody else has the name; undefined: who does not say. */
export interface LockHolder {
  readonly holderPid: number | undefined;
}

/** Long enough for a busy process to answer who it is. */
const HOLDER_TIMEOUT_MS = 2000;

/** @param name at most 100 bytes, for this purpose and thing alone: `waxseal-store-<device>-<inode>` */
export async function takeProcessLock(name: string): Promise<ProcessLock | LockHolder> {
  if (process.platform !== 'linux') return { release: () => Promise.resolve() };
  const path = `\0${name}`;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(`${process.pid}\n`);
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ path }, resolve);
    });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    return { holderPid: await askHolder(path) };
  }
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

function askHolder(path: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    let text = '';
    const done = (): void => {
      socket.destroy();
      resolve(/^[1-9]\d{0,9}\n/.test(text) ? Number.parseInt(text, 10) : undefined);
    };
    socket.setTimeout(HOLDER_TIMEOUT_MS, done);
    socket.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString('latin1')).slice(0, 20);
    });
    socket.on('error', done);
    socket.on('end', done);
  });
}
