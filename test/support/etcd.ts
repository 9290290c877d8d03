/** Runs real etcd members on loopback. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { run, tool } from './programs.js';

export interface Etcd {
  readonly clientPort: number;
  readonly peerPort: number;
  stop(): Promise<void>;
}

export interface EtcdCluster {
  /** `http://127.0.0.1:port`, one a member. */
  readonly endpoints: readonly string[];
  /** Ends one member at once, as a power cut does. */
  kill(member: number): Promise<void>;
  stop(): Promise<void>;
}

/** Several members in folders below `folder`, elections within a fraction of a second. Resolves when they answer. */
export async function startEtcdCluster(folder: string, members = 3): Promise<EtcdCluster> {
  const ports: number[] = [];
  for (let i = 0; i < members * 2; i++) ports.push(await freePort());
  const url = (i: number): string => `http://127.0.0.1:${ports[i]}`;
  const names = Array.from({ length: members }, (_, i) => `m${i}`);
  const initialCluster = names.map((name, i) => `${name}=${url(members + i)}`).join(',');
  const children = names.map((name, i) =>
    spawn(
      tool('etcd'),
      [
        `--name=${name}`,
        `--data-dir=${join(folder, name)}`,
        `--listen-client-urls=${url(i)}`,
        `--advertise-client-urls=${url(i)}`,
        `--listen-peer-urls=${url(members + i)}`,
        `--initial-advertise-peer-urls=${url(members + i)}`,
        `--initial-cluster=${initialCluster}`,
        '--heartbeat-interval=20',
        '--election-timeout=200',
      ],
      { stdio: 'ignore' },
    ),
  );
  const kill = async (member: number): Promise<void> => {
    const child = children[member];
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  const endpoints = names.map((_, i) => url(i));
  await answers(endpoints.join(','));
  return { endpoints, kill, stop: async () => void (await Promise.all(names.map((_, i) => kill(i)))) };
}

/** Starts one member and waits until it answers. @param flags more of etcd's own */
export async function startEtcd(
  dataDir: string,
  ports?: { readonly clientPort: number; readonly peerPort: number },
  flags: readonly string[] = [],
): Promise<Etcd> {
  const clientPort = ports?.clientPort ?? (await freePort());
  const peerPort = ports?.peerPort ?? (await freePort());
  const client = `http://127.0.0.1:${clientPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const child = spawn(
    tool('etcd'),
    [
      `--name=m`,
      `--data-dir=${dataDir}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=m=${peer}`,
      ...flags,
    ],
    { stdio: 'ignore' },
  );
  const exited = once(child, 'exit');
  await answers(client);
  return {
    clientPort,
    peerPort,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await exited;
    },
  };
}

async function answers(endpoints: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const health = await run(
      tool('etcdctl'),
      ['--endpoints', endpoints, '--command-timeout=2s', 'endpoint', 'health'],
      { env: { ETCDCTL_API: '3' } },
    );
    if (health.code === 0) return;
    if (Date.now() > deadline) throw new Error(`etcd does not answer: ${health.stderr}`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
