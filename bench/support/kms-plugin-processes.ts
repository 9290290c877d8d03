/** Starts KMS plugins and their peers, each as a process of its own, and puts load on them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { credentials, type KmsTarget } from './kms-processes.js';
import type { PluginFigures, PluginLoad } from './kms-plugin-load.js';
import { end, firstLine } from './processes.js';

const repository =
  process.env['WAXSEAL_BENCH_REPOSITORY'] ?? fileURLToPath(new URL('../../../', import.meta.url));
const here = fileURLToPath(new URL('../', import.meta.url));

/** A plugin under load. */
export interface PluginTarget {
  readonly name: string;
  readonly socketPath: string;
  readonly pid: number;
  /** Exec to its line that says that it listens. */
  readonly startMs: number;
  /** Answers `{rss, heapUsed}` in bytes after a garbage collection; of our own plugin only. */
  memory(): Promise<{ readonly rss: number; readonly heapUsed: number }>;
  stop(): Promise<void>;
}

async function started(name: string, socketPath: string, args: readonly string[]): Promise<PluginTarget> {
  const nodeFlags = (process.env['WAXSEAL_BENCH_NODE_FLAGS'] ?? '').split(' ').filter((flag) => flag !== '');
  const startedAt = performance.now();
  const child: ChildProcess = spawn(
    process.execPath,
    [...nodeFlags, '--expose-gc', '--import', join(here, 'support/memory-probe.js'), ...args],
    { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] },
  );
  await firstLine(child);
  return {
    name,
    socketPath,
    pid: child.pid ?? 0,
    startMs: performance.now() - startedAt,
    memory: () =>
      new Promise((resolve, reject) => {
        child.once('message', (usage) => resolve(usage as { rss: number; heapUsed: number }));
        child.send('memory', (error) => error && reject(error));
      }),
    stop: () => end(child),
  };
}

const waxseal = join(repository, 'packages/cli/bin/waxseal.js');

export function startLocalPlugin(folder: string): Promise<PluginTarget> {
  const socketPath = join(folder, 'local.sock');
  const keyring = join(folder, 'keyring.yaml');
  return started('waxseal, local', socketPath, [
    waxseal,
    'plugin',
    'local',
    '--keyring',
    keyring,
    '--listen',
    socketPath,
    '--output',
    'json',
  ]);
}

export function startPluginOf(folder: string, service: KmsTarget, keyId: string): Promise<PluginTarget> {
  const socketPath = join(folder, 'waxseal.sock');
  const credentialsFile = join(folder, 'credentials');
  const { accessKeyId, secretAccessKey } = credentials;
  writeFileSync(
    credentialsFile,
    `[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`,
    { mode: 0o600 },
  );
  const { url, caFile } = service.endpoint;
  return started('waxseal, key service behind', socketPath, [
    waxseal,
    'plugin',
    'waxseal',
    '--key',
    keyId,
    '--kms-endpoint',
    url,
    ...(caFile === undefined ? [] : ['--ca-file', caFile]),
    '--credentials-file',
    credentialsFile,
    '--listen',
    socketPath,
    '--output',
    'json',
  ]);
}

export function startBare(kind: 'bare-grpc' | 'bare-http2', folder: string): Promise<PluginTarget> {
  const socketPath = join(folder, `${kind}.sock`);
  return started(kind === 'bare-grpc' ? 'bare grpc-js' : 'bare node:http2', socketPath, [
    join(here, `peers/${kind}.js`),
    socketPath,
  ]);
}

/** Prints the first failure, should there be one: figures of failed calls are no figures. */
export async function measurePlugin(
  target: PluginTarget,
  settings: Omit<PluginLoad, 'socketPath' | 'pid'>,
): Promise<PluginFigures> {
  const load: PluginLoad = { ...settings, socketPath: target.socketPath, pid: target.pid };
  const child = spawn(process.execPath, [join(here, 'support/kms-plugin-load.js')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(JSON.stringify(load));
  const figures = JSON.parse(await firstLine(child)) as PluginFigures;
  if (figures.failures > 0)
    console.log(`${target.name}: ${figures.failures} calls failed: ${figures.firstFailure}`);
  return figures;
}
