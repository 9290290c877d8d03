/** Goal: `waxseal up --storage etcd://…` keeps its objects in a real etcd. Method: Debian's etcd, kubectl, etcdctl. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startEtcd } from '../support/etcd.js';
import { clientsOf, succeed, tool } from '../support/programs.js';
import { startUp, temporaryFolder } from '../support/waxseal.js';

test('objects lie sealed in a real etcd and survive a restart of either side', async (t) => {
  const folder = await temporaryFolder(t);
  let etcd = await startEtcd(`${folder}/etcd`);
  t.after(() => etcd.stop());
  const storage = ['--storage', `etcd://127.0.0.1:${etcd.clientPort}`];
  let up = await startUp(`${folder}/data`, ...storage);
  t.after(() => up.stop());
  await clientsOf(up.ready).kubectl([
    'create',
    'secret',
    'generic',
    'a',
    '--from-literal=k=plain-text-marker',
  ]);

  const direct = [
    '--endpoints',
    `127.0.0.1:${etcd.clientPort}`,
    'get',
    '/registry/secrets/default/a',
    '--print-value-only',
  ];
  const stored = await succeed(tool('etcdctl'), direct, { env: { ETCDCTL_API: '3' } });
  assert.match(stored, /^k8s:enc:kms:v2:waxseal:/);
  assert.ok(!stored.includes('plain-text-marker'));

  await up.stop();
  up = await startUp(`${folder}/data`, ...storage);
  assert.equal(
    await clientsOf(up.ready).kubectl(['get', 'secret', 'a', '-o', 'jsonpath={.data.k}']),
    base64('plain-text-marker'),
  );

  const { clientPort, peerPort } = etcd;
  await etcd.stop();
  etcd = await startEtcd(`${folder}/etcd`, { clientPort, peerPort });
  await clientsOf(up.ready).kubectl(['create', 'secret', 'generic', 'b', '--from-literal=k=v']);
  assert.equal(
    await clientsOf(up.ready).kubectl(['get', 'secret', 'a', '-o', 'jsonpath={.data.k}']),
    base64('plain-text-marker'),
  );
});

test('an etcd that is not there is a clear error', async (t) => {
  const folder = await temporaryFolder(t);
  await assert.rejects(
    startUp(folder, '--storage', 'etcd://127.0.0.1:1'),
    /ended with 3[\s\S]*127\.0\.0\.1:1/,
  );
});

const base64 = (text: string): string => Buffer.from(text).toString('base64');
