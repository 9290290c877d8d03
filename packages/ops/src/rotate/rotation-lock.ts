/**
 * One process to a rotation. The lock is an abstract unix socket named after the state file's folder and name: the kernel gives a name to
 * one listener and takes it back when the process ends, however it ends, so a lock is never stale. Whoever connects is told the pid.
 *
 * Abstract sockets are Linux's. Elsewhere, and between containers or machines that share the folder, the state's count of writes finds it out.
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { basename, dirname, resolve } from 'node:path';
import { OpsError } from '../errors.js';

/** Long enough for a busy process to answer who it is. */
const HOLDER_TIMEOUT_MS = 2000;

/** @throws OpsError state-invalid when another process holds it; source-unreadable when the folder is not there */
export async function withRotationLock<T>(stateFile: string, work: () => Promise<T>): Promise<T> {
  if (process.platform !== 'linux') return work();
  const name = await lockName(stateFile);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(`${process.pid}\n`);
  });
  try {
    await new Promise<void>((done, fail) => {
      server.once('error', fail);
      server.listen({ path: name }, done);
    });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    const pid = await holderPid(name);
    const who = pid === undefined ? 'another process' : `process ${pid}`;
    throw new OpsError('state-invalid', `${who} works on the rotation in ${stateFile}: let it end first`);
  }
  server.unref();
  try {
    return await work();
  } finally {
    await new Promise<void>((done) => server.close(() => done()));
  }
}

async function lockName(stateFile: string): Promise<string> {
  const path = resolve(stateFile);
  try {
    const { dev, ino } = await stat(dirname(path), { bigint: true });
    // A socket's name has 108 bytes at most.
    const file = createHash('sha256').update(basename(path)).digest('hex').slice(0, 32);
    return `\0waxseal-rotation-${dev}-${ino}-${file}`;
  } catch (error) {
    throw new OpsError('source-unreadable', `the folder of ${path} cannot be read: ${String(error)}`, error);
  }
}

function holderPid(name: string): Promise<string | undefined> {
  return new Promise((done) => {
    const socket = connect({ path: name });
    let text = '';
    const end = (): void => {
      socket.destroy();
      done(/^\d{1,10}$/.exec(text.trim())?.[0]);
    };
    socket.setTimeout(HOLDER_TIMEOUT_MS, end);
    socket.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString('latin1')).slice(0, 20);
    });
    socket.on('error', end);
    socket.on('end', end);
  });
}
