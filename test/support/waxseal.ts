/** Runs the real `waxseal` command for end-to-end tests, from the clone, as a user would. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const repository = fileURLToPath(new URL('../../../', import.meta.url));
export const launcher = join(repository, 'packages/cli/bin/waxseal.js');

/** What `waxseal up --output json` prints when ready. */
export interface UpReady {
  readonly kubeconfig: string;
  readonly apiServer: string;
  readonly kmsEndpoint: string;
  readonly region: string;
  readonly credentialsFile: string;
  readonly etcdEndpoint: string;
  readonly etcdCertFile: string;
  readonly etcdKeyFile: string;
  readonly pluginSocket: string;
  readonly caFile: string;
  readonly encryptionConfig: string;
  readonly tokenFile: string;
  /** With `--plugin-health-port`. */
  readonly pluginHealthEndpoint?: string;
}

export interface Process<Ready> {
  readonly child: ChildProcess;
  readonly ready: Ready;
  /** Everything written to standard error so far. */
  readonly log: () => string;
  /** Sends the signal and waits for the end; resolves with the exit code, or the signal's name. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
}

/** Starts a long-running command and waits for its JSON line. Fails with its log when it ends before. */
export const startWaxseal = <Ready = UpReady>(...args: readonly string[]): Promise<Process<Ready>> =>
  startWaxsealUnder<Ready>([], ...args);

/** As startWaxseal, with options for node itself. */
export async function startWaxsealUnder<Ready>(
  nodeOptions: readonly string[],
  ...args: readonly string[]
): Promise<Process<Ready>> {
  const child = spawn(process.execPath, [...nodeOptions, launcher, ...args, '--output', 'json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  const lines = createInterface({ input: child.stdout });
  const line = await Promise.race([
    once(lines, 'line').then(([text]) => text as string),
    exited.then((code) => {
      throw new Error(`waxseal ${args.join(' ')} ended with ${code} before it was ready:\n${log}`);
    }),
  ]);
  return {
    child,
    ready: JSON.parse(line) as Ready,
    log: () => log,
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal);
      return exited;
    },
  };
}

/** `waxseal up` on free ports. */
export const startUp = (dataDir: string, ...more: readonly string[]): Promise<Process<UpReady>> =>
  startWaxseal(
    'up',
    '--data-dir',
    dataDir,
    '--api-port',
    '0',
    '--kms-port',
    '0',
    '--etcd-port',
    '0',
    ...more,
  );

/** A folder that is removed when the test ends. */
export async function temporaryFolder(t: { after(fn: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'waxseal-e2e-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
