/**
 * Goal: etcdctl works on the front as on etcd, and a snapshot of the front is an etcd's. Method: the real etcdctl over
 * TLS with a client certificate, and a real etcd started from the snapshot.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { openEtcdStore } from '../etcd/etcd-store.js';
import { createTestAuthority } from '../testing/certificates.js';
import { startEtcdCluster } from '../testing/etcd-cluster.js';
import { startLmdbFront, type LmdbFront } from '../testing/lmdb-front.js';
import { program } from '../testing/programs.js';

const run = promisify(execFile);
const env = { ...process.env, ETCDCTL_API: '3' };
let served: LmdbFront;
let flags: string[];

before(async () => {
  const authority = await createTestAuthority();
  served = await startLmdbFront({ tls: { ...(await authority.server()), clientCa: authority.ca } });
  const client = await authority.client('etcdctl');
  const files = { ca: authority.ca, cert: client.cert, key: client.key };
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(served.folder, name), content, { mode: 0o600 });
  }
  flags = [
    `--endpoints=${served.front.endpoint}`,
    `--cacert=${join(served.folder, 'ca')}`,
    `--cert=${join(served.folder, 'cert')}`,
    `--key=${join(served.folder, 'key')}`,
  ];
});
after(() => served.stop());

test('put, get, del', async () => {
  assert.equal(await etcdctl('put', 'kv/a', '1'), 'OK\n');
  assert.equal(await etcdctl('put', 'kv/a', '2', '--prev-kv'), 'OK\nkv/a\n1\n');
  await etcdctl('put', 'kv/b', '3');
  assert.equal(await etcdctl('get', 'kv/', '--prefix', '--order=DESCEND'), 'kv/b\n3\nkv/a\n2\n');
  assert.equal(await etcdctl('get', 'kv/', '--prefix', '--keys-only', '--limit=1'), 'kv/a\n\n');
  assert.equal(await etcdctl('del', 'kv/', '--prefix'), '2\n');
  assert.equal(await etcdctl('get', 'kv/', '--prefix'), '');
});

test('txn', async () => {
  assert.equal(await typed(['txn'], 'version("tx") = "0"\n\nput tx 1\n\nget tx\n\n'), 'SUCCESS\n\nOK\n');
  assert.equal(await typed(['txn'], 'version("tx") = "0"\n\nput tx 1\n\nget tx\n\n'), 'FAILURE\n\ntx\n1\n');
});

test('watch, live and from a revision', async () => {
  const { revision } = await served.store.status();
  const child = spawn(program('etcdctl'), [...flags, 'watch', 'watched', `--rev=${revision + 1}`], { env });
  const seen: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => seen.push(text));
  await etcdctl('put', 'watched', 'now');
  await etcdctl('del', 'watched');
  while (!seen.join('').includes('DELETE')) await once(child.stdout, 'data');
  child.kill();
  await once(child, 'exit');
  assert.equal(seen.join(''), 'PUT\nwatched\nnow\nDELETE\nwatched\n\n');
});

test('lease', async () => {
  const granted = await etcdctl('lease', 'grant', '100');
  const id = /^lease ([0-9a-f]+) granted with TTL\(100s\)/.exec(granted)?.[1] ?? granted;
  await etcdctl('put', 'leased', '1', `--lease=${id}`);
  assert.match(await etcdctl('lease', 'timetolive', id, '--keys'), /attached keys\(\[leased\]\)/);
  assert.match(await etcdctl('lease', 'list'), new RegExp(id));
  assert.match(await etcdctl('lease', 'keep-alive', '--once', id), /keepalived with TTL\(100\)/);
  await etcdctl('lease', 'revoke', id);
  assert.equal(await etcdctl('get', 'leased'), '');
  assert.match(await etcdctl('lease', 'timetolive', id), /already expired/);
});

test('endpoint, member, alarm, defrag', async () => {
  assert.match(await etcdctl('endpoint', 'status'), /^https:.*, 7761787365616c02, 3\.5\.\d+, .*true, /);
  // 3.4 says so on the error stream, 3.5 on the other.
  const health = await run(program('etcdctl'), [...flags, 'endpoint', 'health'], { env });
  assert.match(health.stdout + health.stderr, /is healthy/);
  assert.match(await etcdctl('member', 'list'), /started, waxseal/);
  assert.equal(await etcdctl('alarm', 'list'), '');
  assert.match(await etcdctl('defrag'), /Finished defragmenting/);
  await assert.rejects(etcdctl('endpoint', 'hashkv'), /HashKV compares members/);
});

test('compact', async () => {
  await etcdctl('put', 'compacted', '1');
  const { revision } = await served.store.status();
  await etcdctl('put', 'compacted', '2');
  assert.equal(await etcdctl('compact', String(revision + 1)), `compacted revision ${revision + 1}\n`);
  await assert.rejects(
    etcdctl('get', 'compacted', `--rev=${revision}`),
    /required revision has been compacted/,
  );
  await assert.rejects(etcdctl('compact', String(revision)), /required revision has been compacted/);
});

test('a snapshot restores into an etcd that holds the same keys, revisions and leases', async (t) => {
  const lease = await served.store.leaseGrant(1_000);
  for (let i = 0; i < 30; i++) {
    // From nothing to several pages of 4 KiB per value; enough keys for branch pages.
    const ops = Array.from({ length: 20 }, (_, j) => ({
      kind: 'put' as const,
      key: Buffer.from(`snapshot/${i}/${j}`),
      value: Buffer.alloc(i * j * 29, 'v'),
      lease: j === 0 ? lease.id : 0n,
    }));
    await served.store.txn({ compare: [], success: ops, failure: [] });
  }
  await etcdctl('del', 'snapshot/3/3');
  const { revision } = await served.store.status();
  const file = join(served.folder, 'snapshot.db');
  await etcdctl('snapshot', 'save', file);
  const status = JSON.parse(await etcdctl('snapshot', 'status', file, '--write-out=json')) as {
    revision: number;
  };
  assert.equal(status.revision, revision);

  const restored = await startEtcdCluster({
    restore: (dataFolder, memberFlags) =>
      etcdctl('snapshot', 'restore', file, `--data-dir=${dataFolder}`, ...memberFlags),
  });
  t.after(() => restored.stop());
  const { endpoints } = restored;
  const etcd = await openEtcdStore({ endpoints, dialTimeoutMs: 10_000, requestTimeoutMs: 10_000 });
  t.after(() => etcd.close());
  const everything = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) };
  assert.deepEqual(await etcd.range(everything), await served.store.range(everything));
  const there = await etcd.leaseTimeToLive(lease.id, true);
  const here = await served.store.leaseTimeToLive(lease.id, true);
  assert.equal(there.grantedTtlSeconds, 1_000);
  assert.deepEqual(
    there.keys.map((key) => key.toString()).toSorted(),
    here.keys.map((key) => key.toString()).toSorted(),
  );
  assert.equal((await etcd.status()).compactRevision, revision);
});

async function etcdctl(...args: string[]): Promise<string> {
  return (await run(program('etcdctl'), [...flags, ...args], { env })).stdout;
}

/** A command that reads what it shall do. */
async function typed(args: readonly string[], input: string): Promise<string> {
  const running = run(program('etcdctl'), [...flags, ...args], { env });
  running.child.stdin?.end(input);
  return (await running).stdout;
}
