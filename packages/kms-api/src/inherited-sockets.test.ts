/** Goal: the plugin serves on sockets that another process made and keeps, and tells nonsense in the variables. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstat, rename } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectKmsV2 } from './client-v2.js';
import { KmsApiError } from './errors.js';
import { everyInherited, inheritedSockets, urlOfInherited } from './inherited-sockets.js';
import { serveKms } from './server.js';
import { socketFolder, turningV2 } from './testing/services.js';

test('sockets are found by number and by name, and only by the process they are for', () => {
  const handed = { LISTEN_PID: '7', LISTEN_FDS: '3', LISTEN_FDNAMES: 'kms:old:kms' };
  const sockets = inheritedSockets(handed, 7);
  assert.deepEqual(
    [...sockets],
    [
      ['fd://3', 3],
      ['fd://kms', 3],
      ['fd://4', 4],
      ['fd://old', 4],
      ['fd://5', 5],
    ],
  );
  assert.deepEqual(everyInherited(sockets), ['fd://3', 'fd://4', 'fd://5']);
  assert.equal(inheritedSockets(handed, 8).size, 0);
  assert.equal(inheritedSockets({}, 7).size, 0);
  for (const LISTEN_FDS of ['x', '-1', '999', '', undefined]) {
    assert.throws(() => inheritedSockets({ LISTEN_PID: '7', LISTEN_FDS }, 7), /LISTEN_FDS/);
  }
});

test('a socket nobody handed over is named with those that were', async () => {
  await assert.rejects(
    serveKms({
      services: { v2: turningV2() },
      listen: 'fd://kms',
      inheritedSockets: new Map([['fd://3', 3]]),
    }),
    (error) => error instanceof KmsApiError && /No socket fd:\/\/kms .*but fd:\/\/3/.test(error.message),
  );
});

test('a process serves on a socket it inherits, tells its path, and leaves it in place', async (t) => {
  const path = join(await socketFolder(t), 'kms.sock');
  const owner = createServer().listen(path);
  await once(owner, 'listening');
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('./testing/serve-inherited.js', import.meta.url))],
    { stdio: ['pipe', 'pipe', 'inherit', handleOf(owner)] },
  );
  const exited = once(child, 'exit');
  // It must not accept connections itself; closing takes the file away, were it still at its place.
  await rename(path, `${path}.kept`);
  owner.close();
  await once(owner, 'close');
  await rename(`${path}.kept`, path);
  assert.ok(child.stdout !== null && child.stdin !== null);
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  assert.equal(line.toString().trim(), `unix://${path}`);
  const client = connectKmsV2({ endpoint: path });
  assert.equal((await client.status()).healthz, 'ok');
  client.close();
  child.stdin.end();
  await exited;
  assert.ok((await lstat(path)).isSocket());
});

test('a socket that was bound by a relative path is told by an absolute one', async (t) => {
  const path = join(await socketFolder(t), 'kms.sock');
  const owner = createServer().listen(relative(process.cwd(), path));
  await once(owner, 'listening');
  assert.equal(urlOfInherited(handleOf(owner)), `unix://${path}`);
  owner.close();
  await once(owner, 'close');
});

/** The file descriptor of a listening server; a child gets it as its own. */
function handleOf(server: object): number {
  const handle: unknown = '_handle' in server ? server._handle : undefined;
  assert.ok(typeof handle === 'object' && handle !== null && 'fd' in handle && typeof handle.fd === 'number');
  return handle.fd;
}
