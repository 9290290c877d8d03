/** Goal: the front listens where it may and nowhere else. Method: sockets, certificates and a second front. */
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openEtcdStore } from '../etcd/etcd-store.js';
import { createTestAuthority } from '../testing/certificates.js';
import { startLmdbFront, type LmdbFront } from '../testing/lmdb-front.js';

const key = Buffer.from('k');

test('a unix socket is its owner’s alone, serves, and goes with the front', async (t) => {
  const path = join(temporaryFolder(t), 'etcd.sock');
  const { front } = await start(t, { listen: { path } });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual([front.endpoint, front.port], [`unix://${path}`, 0]);
  const store = await openEtcdStore({
    endpoints: [front.endpoint],
    dialTimeoutMs: 5_000,
    requestTimeoutMs: 5_000,
  });
  t.after(() => store.close());
  assert.equal((await store.get(key)).kv, undefined);
  await assert.rejects(start(t, { listen: { path } }), { code: 'in-use' });
  assert.equal((await store.get(key)).kv, undefined, 'the first one still serves');
  await front.close();
  assert.throws(() => statSync(path), { code: 'ENOENT' });
});

test('a socket nobody listens on is replaced; any other file is left alone', async (t) => {
  const folder = temporaryFolder(t);
  const stale = join(folder, 'stale.sock');
  const dead = createServer().listen(stale);
  await once(dead, 'listening');
  // A process that was killed leaves its socket file behind.
  renameSync(stale, `${stale}.kept`);
  await once(dead.close(), 'close');
  renameSync(`${stale}.kept`, stale);
  await start(t, { listen: { path: stale } });
  const file = join(folder, 'file');
  writeFileSync(file, 'mine');
  await assert.rejects(start(t, { listen: { path: file } }), { code: 'in-use', message: /is not a socket/ });
  assert.equal(statSync(file).size, 4);
});

test('without TLS nothing but loopback is listened on', async (t) => {
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'etcd.example.org']) {
    await assert.rejects(start(t, { listen: { host, port: 0 } }), {
      code: 'invalid-argument',
      message: /without TLS/,
    });
  }
});

test('a port that is taken is told so', async (t) => {
  const { front } = await start(t, {});
  await assert.rejects(start(t, { listen: { host: '127.0.0.1', port: front.port } }), { code: 'in-use' });
});

test('a client without a certificate of the client CA is turned away', async (t) => {
  const authority = await createTestAuthority();
  const stranger = await createTestAuthority();
  const { front } = await start(t, { tls: { ...(await authority.server()), clientCa: authority.ca } });
  const dial = { endpoints: [front.endpoint], dialTimeoutMs: 400, requestTimeoutMs: 400 };
  const { ca } = authority;
  await assert.rejects(openEtcdStore({ ...dial, tls: { ca } }), { code: 'unavailable' });
  await assert.rejects(openEtcdStore({ ...dial, tls: { ca, ...(await stranger.client('x')) } }), {
    code: 'unavailable',
  });
  const store = await openEtcdStore({
    ...dial,
    dialTimeoutMs: 5_000,
    tls: { ca, ...(await authority.client('x')) },
  });
  await store.close();
});

test('certificates that cannot be read are refused', async (t) => {
  const pem = Buffer.from('no pem');
  await assert.rejects(start(t, { tls: { cert: pem, key: pem } }), { code: 'invalid-argument' });
});

async function start(t: TestContext, options: Parameters<typeof startLmdbFront>[0]): Promise<LmdbFront> {
  const served = await startLmdbFront(options);
  t.after(() => served.stop());
  return served;
}

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'waxseal-listen-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}
