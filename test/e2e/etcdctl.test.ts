/** Goal: unmodified etcdctl works against the etcd front of `waxseal up`. Method: Debian's etcdctl over TLS. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { clientsOf, run, tool } from '../support/programs.js';
import { startUp, type Process, type UpReady } from '../support/waxseal.js';

let up: Process<UpReady>;
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waxseal-etcdctl-'));
  up = await startUp(folder);
});
after(async () => {
  await up.stop();
  await rm(folder, { recursive: true, force: true });
});

const etcdctl = (args: readonly string[], stdin?: string) =>
  clientsOf(up.ready).etcdctl(args, stdin === undefined ? {} : { stdin });

test('put, get, del', async () => {
  assert.equal(await etcdctl(['put', '/a/1', 'one']), 'OK\n');
  assert.equal(await etcdctl(['put', '/a/2', 'two']), 'OK\n');
  assert.equal(await etcdctl(['get', '/a/1']), '/a/1\none\n');
  assert.equal(await etcdctl(['get', '/a/', '--prefix', '--keys-only']), '/a/1\n\n/a/2\n\n');
  assert.equal(await etcdctl(['del', '/a/', '--prefix']), '2\n');
  assert.equal(await etcdctl(['get', '/a/', '--prefix']), '');
});

test('txn', async () => {
  const txn = 'version("/t") = "0"\n\nput /t first\n\nget /t\n\n';
  assert.match(await etcdctl(['txn'], txn), /SUCCESS\n\nOK/);
  assert.match(await etcdctl(['txn'], txn), /FAILURE\n\n\/t\nfirst/);
});

test('watch sees changes as they happen', async () => {
  const { ready } = up;
  const child = spawn(
    tool('etcdctl'),
    [
      `--endpoints=${ready.etcdEndpoint}`,
      `--cacert=${ready.caFile}`,
      `--cert=${ready.etcdCertFile}`,
      `--key=${ready.etcdKeyFile}`,
      'watch',
      '/w/',
      '--prefix',
      '--rev=1',
    ],
    { env: { ...process.env, ETCDCTL_API: '3' }, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await etcdctl(['put', '/w/x', '1']);
  await etcdctl(['del', '/w/x']);
  const seen: string[] = [];
  for (let i = 0; i < 5; i++) seen.push((await lines.next()).value as string);
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
  assert.deepEqual(seen, ['PUT', '/w/x', '1', 'DELETE', '/w/x']);
});

test('leases end with their keys', async () => {
  const granted = await etcdctl(['lease', 'grant', '600']);
  const id = /lease ([0-9a-f]+) granted with TTL\(600s\)/.exec(granted)?.[1];
  assert.ok(id, granted);
  await etcdctl(['put', '/l', 'x', `--lease=${id}`]);
  assert.match(await etcdctl(['lease', 'timetolive', id, '--keys']), /attached keys\(\[\/l\]\)/);
  assert.match(await etcdctl(['lease', 'list']), new RegExp(id));
  await etcdctl(['lease', 'revoke', id]);
  assert.equal(await etcdctl(['get', '/l']), '');
});

test('endpoint status, endpoint health and compact', async () => {
  const status = JSON.parse(await etcdctl(['endpoint', 'status', '-w', 'json'])) as [
    { Status: { header: { revision: number } } },
  ];
  const { revision } = status[0].Status.header;
  assert.ok(revision > 0);
  assert.match(
    (await run(tool('etcdctl'), healthArguments(), { env: { ETCDCTL_API: '3' } })).stderr,
    /is healthy/,
  );
  assert.match(await etcdctl(['compact', String(revision)]), new RegExp(`compacted revision ${revision}`));
  await assert.rejects(etcdctl(['get', '/a', '--rev=1']), /required revision has been compacted/);
});

test('a client without the certificate is refused', async () => {
  const result = await run(
    tool('etcdctl'),
    [
      `--endpoints=${up.ready.etcdEndpoint}`,
      `--cacert=${up.ready.caFile}`,
      '--command-timeout=3s',
      'get',
      '/',
      '--prefix',
    ],
    { env: { ETCDCTL_API: '3' } },
  );
  assert.notEqual(result.code, 0);
  assert.equal(result.stdout, '');
});

function healthArguments(): string[] {
  const { ready } = up;
  return [
    `--endpoints=${ready.etcdEndpoint}`,
    `--cacert=${ready.caFile}`,
    `--cert=${ready.etcdCertFile}`,
    `--key=${ready.etcdKeyFile}`,
    'endpoint',
    'health',
  ];
}
