/** Starts what is measured: Waxseal itself and its peers, each as a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const here = fileURLToPath(new URL('../', import.meta.url));

/** An API under load. */
export interface Target {
  readonly name: string;
  readonly url: string;
  readonly token: string;
  stop(): Promise<void>;
}

export interface Figures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failures: number;
}

/** What a server says when it is ready. */
export async function firstLine(child: ChildProcess): Promise<string> {
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const ended = once(child, 'exit').then(([code]) =>
    Promise.reject(new Error(`ended with ${code} before it was ready`)),
  );
  const [line] = (await Promise.race([once(lines, 'line'), ended])) as [string];
  ended.catch(() => undefined);
  return line;
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

export interface UpReady {
  readonly apiServer: string;
  readonly kmsEndpoint: string;
  readonly tokenFile: string;
  readonly caFile: string;
  readonly etcdEndpoint: string;
  readonly encryptionConfig: string;
}

export async function startWaxseal(dataDir: string): Promise<Target & { readonly ready: UpReady }> {
  const ports = ['--api-port', '0', '--kms-port', '0', '--etcd-port', '0'];
  const child = spawn(
    process.execPath,
    [
      join(repository, 'packages/cli/bin/waxseal.js'),
      'up',
      '--data-dir',
      dataDir,
      ...ports,
      '--output',
      'json',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ready = JSON.parse(await firstLine(child)) as UpReady;
  const token = readFileSync(ready.tokenFile, 'utf8').split(',')[0] as string;
  return { name: 'waxseal', url: ready.apiServer, token, ready, stop: () => end(child) };
}

/** Serves with Waxseal's own certificate, so that both pay the same for TLS. */
export async function startBareServer(folder: string, waxsealDataDir: string): Promise<Target> {
  const pki = join(waxsealDataDir, 'pki');
  const child = spawn(
    process.execPath,
    [join(here, 'peers/bare-server.js'), join(pki, 'apiserver.crt'), join(pki, 'apiserver.key'), folder],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  return { name: 'bare Node TLS + LMDB', url: await firstLine(child), token: 'x', stop: () => end(child) };
}

/** Where kubepeer, etcd and kubectl of the Kubernetes library peer lie, when somebody built them. */
export function peerFolder(): string | undefined {
  const folder = process.env['WAXSEAL_PEER'] ?? join(homedir(), '.cache/waxseal-peer/bin');
  return existsSync(join(folder, 'kubepeer')) ? folder : undefined;
}

/** A Kubernetes API server library (k8s.io/apiserver) with aesgcm over etcd. */
export async function startKubepeer(peer: string, folder: string, encryptionConfig: string): Promise<Target> {
  const [client, member, port] = [32379, 32380, 36443];
  const etcdUrl = `http://127.0.0.1:${client}`;
  const memberUrl = `http://127.0.0.1:${member}`;
  const etcd = spawn(
    join(peer, 'etcd'),
    [
      `--data-dir=${join(folder, 'etcd')}`,
      `--listen-client-urls=${etcdUrl}`,
      `--advertise-client-urls=${etcdUrl}`,
      `--listen-peer-urls=${memberUrl}`,
      `--initial-advertise-peer-urls=${memberUrl}`,
      `--initial-cluster=default=${memberUrl}`,
    ],
    { stdio: 'ignore' },
  );
  const server = spawn(
    join(peer, 'kubepeer'),
    [
      `-etcd-servers=${etcdUrl}`,
      `-secure-port=${port}`,
      `-cert-dir=${join(folder, 'certs')}`,
      `-encryption-provider-config=${encryptionConfig}`,
    ],
    { stdio: 'ignore' },
  );
  const url = `https://127.0.0.1:${port}`;
  const deadline = Date.now() + 30_000;
  while (
    (await measure({ url, token: 'x' }, 'get', 1, 0.1).catch(() => undefined))?.perSecond === undefined
  ) {
    if (Date.now() > deadline) throw new Error('kubepeer does not answer');
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return {
    name: 'kubepeer + etcd (aesgcm)',
    url,
    token: 'x',
    stop: async () => {
      await end(server);
      await end(etcd);
    },
  };
}

export async function measure(
  target: Pick<Target, 'url' | 'token'>,
  operation: string,
  connections: number,
  seconds: number,
): Promise<Figures> {
  const child = spawn(
    process.execPath,
    [
      join(here, 'support/load.js'),
      target.url,
      operation,
      String(connections),
      String(seconds),
      target.token,
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  return JSON.parse(await firstLine(child)) as Figures;
}
