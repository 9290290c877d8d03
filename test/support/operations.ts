/** Objects in a real etcd, and the operations commands as processes that are watched while they run. */
import { spawn, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openEtcdStore } from '@waxseal/storage';
import { succeed, tool } from './programs.js';
import { launcher } from './waxseal.js';

/** Secrets in plaintext, as an API server without encryption stores them. */
export async function putSecrets(
  endpoint: string,
  count: number,
  more: (index: number) => object = () => ({}),
): Promise<void> {
  const store = await openEtcdStore({
    endpoints: [endpoint],
    dialTimeoutMs: 10_000,
    requestTimeoutMs: 10_000,
  });
  const put = (index: number) => {
    const metadata = { name: `s${index}`, namespace: 'default' };
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata, ...more(index) };
    return {
      kind: 'put' as const,
      key: Buffer.from(`/registry/secrets/default/s${index}`),
      value: Buffer.from(JSON.stringify(secret)),
    };
  };
  for (let start = 0; start < count; start += 100) {
    const success = Array.from({ length: Math.min(100, count - start) }, (_, i) => put(start + i));
    await store.txn({ compare: [], success, failure: [] });
  }
  await store.close();
}

/** An EncryptionConfiguration whose first provider is secretbox; plaintext is read. */
export function writeSecretboxConfig(folder: string): string {
  const secret = Buffer.alloc(32, 'operations').toString('base64');
  const file = join(folder, 'enc.yaml');
  const config = {
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      {
        resources: ['secrets'],
        providers: [{ secretbox: { keys: [{ name: 'k', secret }] } }, { identity: {} }],
      },
    ],
  };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

export const etcdctl = (endpoint: string, ...args: readonly string[]): Promise<string> =>
  succeed(tool('etcdctl'), [`--endpoints=${endpoint}`, ...args], { env: { ETCDCTL_API: '3' } });

interface Ended {
  /** Exit code, or the signal's name. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

interface Watched {
  readonly child: ChildProcess;
  /** Everything on standard error so far. */
  readonly log: () => string;
  readonly ended: Promise<Ended>;
}

/** Starts `waxseal` under the environment given; the developer's own settings of etcdctl stay out of it. */
export function startOperation(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  output: 'pipe' | number = 'pipe',
): Watched {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('ETCDCTL_'));
  const child = spawn(process.execPath, [launcher, ...args], {
    stdio: ['ignore', output, 'pipe'],
    env: { ...Object.fromEntries(own), ...env },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code: code ?? signal ?? '', stdout, stderr }));
  });
  return { child, log: () => stderr, ended };
}

export const operation = (args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended> =>
  startOperation(args, env).ended;

/** Waits for something that a running process does. Fails when the process ends before. */
export async function untilSeen({ ended, log }: Watched, seen: () => boolean): Promise<void> {
  let over: Ended | undefined;
  void ended.then((end) => (over = end));
  while (!seen()) {
    if (over !== undefined) throw new Error(`ended with ${over.code} before it was seen:\n${log()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
