/**
 * Goal: `waxseal rewrap --via-api` brings every object of a live server under the new key, loses no write and brings nothing back, whatever happens beside
 * it. Method: our API server over a real etcd, kubectl and plain requests that write, delete and create again meanwhile, a server that is killed half-way; the
 * stored values judged by `waxseal scan`.
 */
import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { type Api, apiOf, secret } from '../support/api.js';
import { startEtcd } from '../support/etcd.js';
import { run, succeed, tool } from '../support/programs.js';
import { launcher, type Process, startWaxseal, temporaryFolder, type UpReady } from '../support/waxseal.js';

const OBJECTS = 120;
const SECRETS = '/api/v1/namespaces/default/secrets';

interface Report {
  readonly [count: string]: unknown;
  readonly failures: readonly unknown[];
  readonly written: readonly {
    readonly resource: string;
    readonly provider: string;
    readonly left: boolean;
  }[];
}

function configuration(kinds: readonly string[]): string {
  const key = (kind: string): string => Buffer.alloc(32, kind).toString('base64');
  return JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      {
        resources: ['secrets'],
        providers: kinds.map((kind) => ({ [kind]: { keys: [{ name: `${kind}-1`, secret: key(kind) }] } })),
      },
    ],
  });
}

/** What clients were told, by name: the value, or that it is deleted. */
type Told = Map<string, string>;

const valueOf = (text: string): string => Buffer.from(text).toString('base64');

/** Writes, deletes and creates again, and keeps what was answered. Never two at one name. */
async function writeOn(api: Api, told: Told, from: number): Promise<void> {
  for (let i = from; i < OBJECTS; i += 4) {
    const name = `s-${i}`;
    const body = { ...secret(name, { k: `later ${i}` }) };
    if (i % 3 !== 0) await expectStatus(api.call('DELETE', `${SECRETS}/${name}`), 200);
    if (i % 3 === 0) await expectStatus(api.call('PUT', `${SECRETS}/${name}`, body), 200);
    if (i % 3 === 1) await expectStatus(api.call('POST', SECRETS, body), 201);
    if (i % 3 === 2) told.delete(name);
    else told.set(name, valueOf(`later ${i}`));
  }
}

async function expectStatus(answer: ReturnType<Api['call']>, status: number): Promise<void> {
  const { status: found, text } = await answer;
  assert.equal(found, status, text);
}

async function stored(api: Api): Promise<Told> {
  const { items } = JSON.parse((await api.call('GET', SECRETS)).text) as {
    items: { metadata: { name: string }; data: { k: string } }[];
  };
  return new Map(items.map(({ metadata, data }) => [metadata.name, data.k]));
}

const sorted = (told: Told): readonly (readonly [string, string])[] =>
  [...told].toSorted(([a], [b]) => (a < b ? -1 : 1));

test('under live writes, and with a server that is killed half-way', async (t) => {
  const folder = await temporaryFolder(t);
  const etcd = await startEtcd(`${folder}/etcd`);
  t.after(() => etcd.stop());
  const etcdUrl = `http://127.0.0.1:${etcd.clientPort}`;
  const config = `${folder}/encryption.json`;
  const start = (port: string): Promise<Process<UpReady>> =>
    startWaxseal(
      'apiserver',
      '--data-dir',
      `${folder}/data`,
      '--storage',
      etcdUrl.replace('http', 'etcd'),
      '--encryption-provider-config',
      config,
      '--port',
      port,
    );
  await writeFile(config, configuration(['aescbc']), { mode: 0o600 });
  let server = await start('0');
  t.after(() => server.stop());
  const { port } = new URL(server.ready.apiServer);
  const api = apiOf(server.ready, 8);
  t.after(async () => api.close());
  const told: Told = new Map();
  await Promise.all(
    Array.from({ length: OBJECTS }, async (_, i) => {
      await expectStatus(api.call('POST', SECRETS, secret(`s-${i}`, { k: `value ${i}` })), 201);
      told.set(`s-${i}`, valueOf(`value ${i}`));
    }),
  );
  await server.stop();
  await writeFile(config, configuration(['secretbox', 'aescbc']), { mode: 0o600 });
  server = await start(port);

  const rewrap = async (...more: readonly string[]): Promise<Report> => {
    const args = ['rewrap', '--via-api', '--encryption-config', config, '--output', 'json', ...more];
    const { code, stdout, stderr } = await run(process.execPath, [launcher, ...args]);
    assert.equal(code, 0, stderr + stdout);
    return JSON.parse(stdout) as Report;
  };
  const kubeconfig = ['--kubeconfig', server.ready.kubeconfig];

  const dry = await rewrap(...kubeconfig, '--dry-run');
  assert.deepEqual([dry['listed'], dry['stale'], dry['rewritten']], [OBJECTS, null, 0]);

  const running = rewrap(...kubeconfig, '--etcd', etcdUrl, '--rate', '60', '--workers', '4');
  // Awaited at the end; a failure before that is told there.
  running.catch(() => undefined);
  await writeOn(api, told, 0);
  const kubectl = (...args: readonly string[]): Promise<string> =>
    succeed(tool('kubectl-1.36'), [...kubeconfig, ...args]);
  await kubectl('create', 'secret', 'generic', 'by-kubectl', '--from-literal=k=new');
  told.set('by-kubectl', valueOf('new'));
  await kubectl('delete', 'secret', 's-118');
  told.delete('s-118');
  // The run waits for its return.
  await server.stop('SIGKILL');
  server = await start(port);
  await writeOn(api, told, 1);

  const report = await running;
  assert.deepEqual([report['failed'], report['addsUp'], report['remaining']], [0, true, 0]);
  assert.deepEqual(report['patchTypes'], { secrets: 'merge' });
  assert.deepEqual(
    report.written.map(({ resource, provider, left }) => [resource, provider, left]),
    [['secrets', 'secretbox', false]],
  );
  assert.deepEqual(sorted(await stored(api)), sorted(told));

  // By a program that logs in, and nothing is left to do.
  const { token, ca } = {
    token: (await readFile(server.ready.tokenFile, 'utf8')).split(',')[0] ?? '',
    ca: server.ready.caFile,
  };
  const second = await rewrap(
    '--kubeconfig',
    await execKubeconfig(folder, server.ready.apiServer, ca, token),
  );
  assert.deepEqual(
    [second['listed'], second['skipped'], second['rewritten'], second['failed']],
    [told.size, told.size, 0, 0],
  );
  const scanned = await succeed(process.execPath, [launcher, 'scan', '--etcd', etcdUrl, '--output', 'json']);
  const { groups } = JSON.parse(scanned) as {
    groups: { resource: string; provider: string; count: number }[];
  };
  assert.deepEqual(
    groups.filter(({ resource }) => resource === 'secrets').map(({ provider, count }) => [provider, count]),
    [['secretbox', told.size]],
  );
});

/** A kubeconfig as clouds write it: a program gives the token. */
async function execKubeconfig(folder: string, server: string, ca: string, token: string): Promise<string> {
  const program = `${folder}/login`;
  const apiVersion = 'client.authentication.k8s.io/v1';
  const printed = JSON.stringify({ kind: 'ExecCredential', apiVersion, status: { token } });
  await writeFile(program, `#!/bin/sh\necho '${printed}'\n`);
  await chmod(program, 0o700);
  const path = `${folder}/exec-kubeconfig`;
  await writeFile(
    path,
    JSON.stringify({
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
      clusters: [{ name: 'k', cluster: { server, 'certificate-authority': ca } }],
      users: [{ name: 'u', user: { exec: { apiVersion, command: './login', interactiveMode: 'Never' } } }],
    }),
  );
  return path;
}
