/** A socket is private from its first moment, and is never taken from a living owner. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { lstat, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { KmsApiError, type KmsApiErrorCode } from './errors.js';
import { serveKms } from './server.js';
import { parseSocketGroup } from './socket-group.js';
import { connectKmsV2 } from './client-v2.js';
import { socketFolder, turningV2 } from './testing/services.js';
import { open } from './testing/raw-http2.js';

const services = { v2: turningV2() };
const failing = (code: KmsApiErrorCode, message: RegExp) => (error: unknown) =>
  error instanceof KmsApiError && error.code === code && message.test(error.message);

test('the socket file is private and goes away with the server; the umask is as before', async (t) => {
  const listen = join(await socketFolder(t), 'kms.sock');
  const before = process.umask();
  const server = await serveKms({ services, listen });
  assert.equal(process.umask(), before);
  assert.equal((await lstat(listen)).mode & 0o777, 0o600);
  await server.close();
  await assert.rejects(lstat(listen), /ENOENT/);
});

test('a living socket is an error and stays', async (t) => {
  const listen = join(await socketFolder(t), 'kms.sock');
  const server = await serveKms({ services, listen });
  const client = connectKmsV2({ endpoint: listen });
  t.after(async () => {
    client.close();
    await server.close(100);
  });
  await assert.rejects(serveKms({ services, listen }), failing('socket_in_use', /Another process/));
  assert.equal((await client.status()).healthz, 'ok');
  const name = `@waxseal-test-${process.pid}-twice`;
  const abstract = await serveKms({ services, listen: name });
  await assert.rejects(serveKms({ services, listen: name }), failing('socket_in_use', /Another process/));
  await abstract.close();
});

test('the socket of a process that was killed is taken over', async (t) => {
  const listen = join(await socketFolder(t), 'kms.sock');
  const owner = spawn(process.execPath, [
    '-e',
    'require("node:net").createServer().listen(process.argv[1], () => console.log("up"))',
    listen,
  ]);
  await once(owner.stdout, 'data');
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  assert.ok((await lstat(listen)).isSocket());
  const server = await serveKms({ services, listen });
  const client = connectKmsV2({ endpoint: listen });
  assert.equal((await client.status()).healthz, 'ok');
  client.close();
  await server.close();
});

test('what is no socket stays untouched', async (t) => {
  const folder = await socketFolder(t);
  const file = join(folder, 'notes.txt');
  await writeFile(file, 'mine');
  await assert.rejects(serveKms({ services, listen: file }), failing('socket_path_taken', /not a socket/));
  assert.equal(await readFile(file, 'utf8'), 'mine');
  await mkdir(join(folder, 'd'));
  await assert.rejects(
    serveKms({ services, listen: join(folder, 'd') }),
    failing('socket_path_taken', /not a socket/),
  );
});

test('a missing folder is named, and no socket is left open when one of several fails', async (t) => {
  const folder = await socketFolder(t);
  const first = join(folder, 'one.sock');
  const second = join(folder, 'absent', 'two.sock');
  await assert.rejects(
    serveKms({ services, listen: [first, second] }),
    failing('socket_failed', /absent does not exist/),
  );
  await assert.rejects(lstat(first), /ENOENT/);
});

test('connections beyond the limit are closed on arrival and the others go on', async (t) => {
  const listen = join(await socketFolder(t), 'kms.sock');
  const server = await serveKms({ services, listen, maxConnections: 1 });
  const client = connectKmsV2({ endpoint: listen });
  t.after(async () => {
    client.close();
    await server.close(100);
  });
  await client.status();
  const extra = await open(listen);
  await once(extra, 'close');
  assert.equal((await client.status()).healthz, 'ok');
});

test('a group may connect when it is named, and nobody else', async (t) => {
  const folder = await socketFolder(t);
  const listen = join(folder, 'kms.sock');
  const groupId = process.getgid?.() ?? 0;
  const server = await serveKms({ services, listen, socketGroupId: groupId });
  const { mode, gid } = await lstat(listen);
  assert.equal(mode & 0o777, 0o660);
  assert.equal(gid, groupId);
  await server.close();
});

test('groups are found by number and by name', async (t) => {
  const groupFile = join(await socketFolder(t), 'group');
  await writeFile(groupFile, 'root:x:0:\nkms:x:1234:a,b\nbroken:x\n');
  assert.equal(parseSocketGroup('77', groupFile), 77);
  assert.equal(parseSocketGroup('kms', groupFile), 1234);
  for (const group of ['absent', 'broken', '', '99999999999', '-1']) {
    assert.throws(() => parseSocketGroup(group, groupFile), failing('invalid_endpoint', /no group/));
  }
});
