/** A real etcd for tests, on a free port over a temporary folder, stopped by its own process id. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openEtcdStore } from '@waxseal/storage';

export interface RunningEtcd {
  readonly endpoint: string;
  /** The member's database file; whole only while etcd is stopped. */
  readonly databaseFile: string;
  /** Its --data-dir. */
  readonly dataDir: string;
  /** The real etcdctl on this etcd; what it prints. */
  etcdctl(...args: readonly string[]): Promise<string>;
  /** By the real etcdctl. */
  saveSnapshot(path: string): Promise<void>;
  /** By the real etcdctl; done on disk when it resolves. */
  compact(revision: number): Promise<void>;
  /** As a crash: its files stay until `stop`. */
  halt(): Promise<void>;
  stop(): Promise<void>;
}

const run = promisify(execFile);
const clonesTools = fileURLToPath(new URL('../../../../.tools/bin', import.meta.url));

function program(name: string): string {
  const path = join(process.env['WAXSEAL_TOOLS'] ?? clonesTools, name);
  if (!existsSync(path))
    throw new Error(`${path} does not exist. Install the tests' programs: npm run tools`);
  return path;
}

/** Resolves when it answers. @param snapshot restored first, by the real etcdctl */
export async function startEtcd(snapshot?: string): Promise<RunningEtcd> {
  const folder = mkdtempSync(join(tmpdir(), 'waxseal-ops-etcd-'));
  const [client, peer] = [await freePort(), await freePort()];
  const endpoint = `http://127.0.0.1:${client}`;
  const member = [
    `--data-dir=${join(folder, 'data')}`,
    `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
    `--initial-cluster=default=http://127.0.0.1:${peer}`,
  ];
  if (snapshot !== undefined) {
    await run(program('etcdctl'), ['snapshot', 'restore', snapshot, '--name=default', ...member], {
      env: { ...process.env, ETCDCTL_API: '3' },
    });
  }
  const child = spawn(
    program('etcd'),
    [
      ...member,
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      '--logger=zap',
      '--log-level=error',
    ],
    { stdio: 'ignore' },
  );
  const killNow = (): void => {
    child.kill('SIGKILL');
  };
  process.once('exit', killNow);
  const halt = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
    process.removeListener('exit', killNow);
  };
  const etcdctl = async (...args: readonly string[]): Promise<string> => {
    const env = { ...process.env, ETCDCTL_API: '3' };
    return (await run(program('etcdctl'), [`--endpoints=${endpoint}`, ...args], { env })).stdout;
  };
  const store = await openEtcdStore({
    endpoints: [endpoint],
    dialTimeoutMs: 30_000,
    requestTimeoutMs: 30_000,
  });
  await store.get(Buffer.from('ready'));
  await store.close();
  return {
    endpoint,
    dataDir: join(folder, 'data'),
    databaseFile: join(folder, 'data/member/snap/db'),
    etcdctl,
    saveSnapshot: async (path) => void (await etcdctl('snapshot', 'save', path)),
    compact: async (revision) => void (await etcdctl('compact', '--physical', String(revision))),
    halt,
    stop: async () => {
      await halt();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Free a moment ago: etcd cannot choose its own and say which. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await once(server.close(), 'close');
  return port;
}
