/** Two API servers on one real etcd, each with an encryption configuration of its own, and everything a rotation of it needs. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { apiOf, type Api } from './api.js';
import { startEtcd, type Etcd } from './etcd.js';
import { run, succeed, tool, type Result } from './programs.js';
import { launcher, startWaxsealUnder, temporaryFolder, type Process, type UpReady } from './waxseal.js';

export interface RotationCluster {
  readonly folder: string;
  readonly etcdUrl: string;
  readonly etcd: Etcd;
  /** Of the first server; rotate writes it. */
  readonly configFile: string;
  /** Of the second; the hook brings it there. */
  readonly otherConfigFile: string;
  readonly stateFile: string;
  readonly servers: readonly [Server, Server];
  /** `waxseal rotate <command>` with what it needs; more options at the end. */
  rotate(command: string, ...more: readonly string[]): Promise<Result>;
  /** As `rotate`; gets each line of standard error, and ends the process by SIGKILL when it answers true. */
  rotateUntil(
    command: string,
    killNow: (line: string) => boolean,
    ...more: readonly string[]
  ): Promise<Result>;
  /** Up to now, as kube-apiserver does after five minutes. */
  compact(): Promise<void>;
  scanSecrets(): Promise<
    readonly { readonly provider: string; readonly key: string; readonly count: number }[]
  >;
}

interface Server {
  readonly api: Api;
  readonly url: string;
  restart(): Promise<void>;
}

const HURRIED = new URL('./hurried-time.js', import.meta.url).href;

export async function startRotationCluster(t: TestContext, config: string): Promise<RotationCluster> {
  const folder = await temporaryFolder(t);
  const etcd = await startEtcd(`${folder}/etcd`);
  t.after(() => etcd.stop());
  const etcdUrl = `http://127.0.0.1:${etcd.clientPort}`;
  const [configFile, otherConfigFile] = [`${folder}/enc-a.yaml`, `${folder}/enc-b.yaml`];
  for (const file of [configFile, otherConfigFile]) await writeFile(file, config, { mode: 0o600 });
  const first = await startServer(t, `${folder}/a`, configFile, etcdUrl);
  // One authority and one token file, as the servers of one cluster have them.
  await cp(`${folder}/a`, `${folder}/b`, { recursive: true, filter: (path) => !path.endsWith('/api') });
  const second = await startServer(t, `${folder}/b`, otherConfigFile, etcdUrl);
  const { caFile, tokenFile } = first.ready();
  await writeFile(`${folder}/token`, (await readFile(tokenFile, 'utf8')).split(',')[0] ?? '', {
    mode: 0o600,
  });
  const stateFile = `${folder}/rotation.json`;
  const access = [
    `--etcd=${etcdUrl}`,
    `--servers=${first.url},${second.url}`,
    `--server-ca=${caFile}`,
    `--server-token-file=${folder}/token`,
    `--hook=cp "$1" ${otherConfigFile}.new && mv ${otherConfigFile}.new ${otherConfigFile}`,
  ];
  const argumentsOf = (command: string): readonly string[] => [
    'rotate',
    command,
    `--state=${stateFile}`,
    '--output=json',
    ...(['run', 'finish'].includes(command) ? access : []),
  ];
  return {
    folder,
    etcdUrl,
    etcd,
    configFile,
    otherConfigFile,
    stateFile,
    servers: [first, second],
    rotate: (command, ...more) => run(process.execPath, [launcher, ...argumentsOf(command), ...more]),
    rotateUntil: (command, killNow, ...more) =>
      runUntil([launcher, ...argumentsOf(command), ...more], killNow),
    async compact() {
      const etcdctl = (...args: readonly string[]): Promise<string> =>
        succeed(tool('etcdctl'), ['--endpoints', etcdUrl, ...args], { env: { ETCDCTL_API: '3' } });
      const [status] = JSON.parse(await etcdctl('endpoint', 'status', '-w', 'json')) as [
        { Status: { header: { revision: number } } },
      ];
      await etcdctl('compact', '--physical', String(status.Status.header.revision));
    },
    async scanSecrets() {
      const text = await succeed(process.execPath, [launcher, 'scan', '--etcd', etcdUrl, '--output', 'json']);
      const { groups } = JSON.parse(text) as {
        groups: readonly { resource: string; provider: string; key: string; count: number }[];
      };
      return groups
        .filter(({ resource }) => resource === 'secrets')
        .map(({ provider, key, count }) => ({ provider, key, count }));
    },
  };
}

async function startServer(
  t: TestContext,
  dataDir: string,
  configFile: string,
  etcdUrl: string,
): Promise<Server & { ready(): UpReady }> {
  const start = (port: string): Promise<Process<UpReady>> =>
    startWaxsealUnder<UpReady>(
      ['--import', HURRIED],
      'apiserver',
      `--data-dir=${dataDir}`,
      `--port=${port}`,
      '--kms-v1',
      '--log-level=error',
      `--encryption-provider-config=${configFile}`,
      `--storage=${etcdUrl.replace('http:', 'etcd:')}`,
    );
  let server = await start('0');
  const { apiServer } = server.ready;
  t.after(() => server.stop());
  let api = apiOf(server.ready, 8);
  t.after(() => api.close());
  return {
    url: apiServer,
    get api() {
      return api;
    },
    ready: () => server.ready,
    async restart() {
      await server.stop();
      api.close();
      server = await start(new URL(apiServer).port);
      api = apiOf(server.ready, 8);
    },
  };
}

async function runUntil(args: readonly string[], killNow: (line: string) => boolean): Promise<Result> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  createInterface({ input: child.stderr }).on('line', (line) => {
    stderr += `${line}\n`;
    if (killNow(line)) child.kill('SIGKILL');
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? -1, stdout, stderr };
}
