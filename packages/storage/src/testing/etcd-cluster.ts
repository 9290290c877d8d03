/** Real etcd members for tests: started on free ports over temporary folders, stopped by their own process ids. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEtcdStore } from '../etcd/etcd-store.js';
import type { KeyPairPem, TestAuthority } from './certificates.js';
import { program } from './programs.js';

export interface EtcdClusterOptions {
  readonly members?: number | undefined;
  /** TLS with client certificates for clients; peers stay without. */
  readonly authority?: TestAuthority | undefined;
  /** Fills the data folder of a single member before it starts; the flags are etcdctl's for `snapshot restore`. */
  readonly restore?: ((dataFolder: string, memberFlags: readonly string[]) => Promise<unknown>) | undefined;
  /** More flags of etcd's own, for every member. */
  readonly flags?: readonly string[] | undefined;
}

interface EtcdMember {
  readonly endpoint: string;
  /** Its --data-dir. */
  readonly dataDir: string;
  start(): void;
  /** Ends the process at once, as a power cut does. */
  kill(): Promise<void>;
}

export interface EtcdCluster {
  readonly endpoints: readonly string[];
  readonly members: readonly EtcdMember[];
  /** What a client needs when the cluster wants certificates. */
  readonly tls: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer } | undefined;
  stop(): Promise<void>;
}

/** Resolves when the cluster answers. */
export async function startEtcdCluster(options: EtcdClusterOptions = {}): Promise<EtcdCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'waxseal-etcd-'));
  const authority = options.authority;
  const scheme = authority === undefined ? 'http' : 'https';
  const count = options.members ?? 1;
  const ports = await freePorts(count * 2);
  const names = Array.from({ length: count }, (_, i) => `m${i}`);
  const peer = (i: number): string => `http://127.0.0.1:${ports[count + i]}`;
  const initialCluster = names.map((name, i) => `${name}=${peer(i)}`).join(',');
  const serverPair = await authority?.server();
  const tlsFlags =
    authority === undefined || serverPair === undefined ? [] : writeTls(folder, authority, serverPair);
  const members = names.map((name, i) => {
    const endpoint = `${scheme}://127.0.0.1:${ports[i]}`;
    const dataDir = join(folder, name);
    return etcdMember(endpoint, dataDir, [
      `--name=${name}`,
      `--data-dir=${dataDir}`,
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      `--listen-peer-urls=${peer(i)}`,
      `--initial-advertise-peer-urls=${peer(i)}`,
      `--initial-cluster=${initialCluster}`,
      '--heartbeat-interval=20',
      '--election-timeout=200',
      '--logger=zap',
      '--log-level=error',
      ...tlsFlags,
      ...(options.flags ?? []),
    ]);
  });
  const client = await authority?.client('test');
  const cluster: EtcdCluster = {
    endpoints: members.map((member) => member.endpoint),
    members,
    tls: authority === undefined || client === undefined ? undefined : { ca: authority.ca, ...client },
    stop: async () => {
      await Promise.all(members.map((member) => member.kill()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await options.restore?.(join(folder, 'm0'), [
    '--name=m0',
    `--initial-cluster=${initialCluster}`,
    `--initial-advertise-peer-urls=${peer(0)}`,
  ]);
  for (const member of members) member.start();
  try {
    await answers(cluster);
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

async function answers(cluster: EtcdCluster): Promise<void> {
  const { endpoints, tls } = cluster;
  const store = await openEtcdStore({ endpoints, tls, dialTimeoutMs: 30_000, requestTimeoutMs: 30_000 });
  await store.get(Buffer.from('ready'));
  await store.close();
}

function etcdMember(endpoint: string, dataDir: string, flags: readonly string[]): EtcdMember {
  let child: ChildProcess | undefined;
  const killNow = (): void => {
    child?.kill('SIGKILL');
  };
  return {
    endpoint,
    dataDir,
    start: () => {
      child = spawn(program('etcd'), flags, { stdio: 'ignore' });
      process.once('exit', killNow);
    },
    kill: async () => {
      const running = child;
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
      running.kill('SIGKILL');
      await once(running, 'exit');
      process.removeListener('exit', killNow);
    },
  };
}

function writeTls(folder: string, authority: TestAuthority, pair: KeyPairPem): string[] {
  const write = (name: string, content: Buffer): string => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  return [
    `--trusted-ca-file=${write('ca.pem', authority.ca)}`,
    `--cert-file=${write('server.pem', pair.cert)}`,
    `--key-file=${write('server-key.pem', pair.key)}`,
    '--client-cert-auth',
  ];
}

/** Ports free a moment ago: etcd cannot choose its own and say which. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
