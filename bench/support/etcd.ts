/** A single etcd of the project's tools in a folder of its own, for one run. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where `npm run tools` puts etcd, etcdctl and kubectl. */
export const tools = fileURLToPath(new URL('../../../.tools/bin', import.meta.url));

export interface BenchEtcd {
  readonly endpoint: string;
  /** Kills it; its data stay. */
  stop(): Promise<void>;
}

/** @param fsync false where only reading is measured */
export async function startEtcd(folder: string, fsync: boolean): Promise<BenchEtcd> {
  const [client, peer] = [await freePort(), await freePort()];
  const endpoint = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  const etcd = spawn(
    join(tools, 'etcd'),
    [
      `--data-dir=${join(folder, 'etcd')}`,
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=default=${peerUrl}`,
      '--quota-backend-bytes=8589934592',
      '--log-level=error',
      '--logger=zap',
      ...(fsync ? [] : ['--unsafe-no-fsync']),
    ],
    { stdio: 'ignore' },
  );
  const kill = (): void => {
    etcd.kill('SIGKILL');
  };
  process.once('exit', kill);
  return {
    endpoint,
    stop: async () => {
      process.off('exit', kill);
      const ended = once(etcd, 'exit');
      kill();
      await ended;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await once(server.close(), 'close');
  return port;
}
