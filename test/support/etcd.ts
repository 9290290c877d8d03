/** Runs a real etcd on loopback. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { run, tool } from './programs.js';

export interface Etcd {
  readonly clientPort: number;
  readonly peerPort: number;
  stop(): Promise<void>;
}

/** Starts one member and waits until it answers. */
export async function startEtcd(
  dataDir: string,
  ports?: { readonly clientPort: number; readonly peerPort: number },
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
    ],
    { stdio: 'ignore' },
  );
  const exited = once(child, 'exit');
  const deadline = Date.now() + 20_000;
  for (;;) {
    const health = await run(
      tool('etcdctl'),
      ['--endpoints', client, '--command-timeout=2s', 'endpoint', 'health'],
      {
        env: { ETCDCTL_API: '3' },
      },
    );
    if (health.code === 0) break;
    if (Date.now() > deadline) throw new Error(`etcd does not answer: ${health.stderr}`);
  }
  return {
    clientPort,
    peerPort,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await exited;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
