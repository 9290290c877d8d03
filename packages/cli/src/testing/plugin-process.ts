/** Runs `waxseal plugin …` as a process of its own, as an operator does. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectKmsV2, type KmsV2Client } from '@waxseal/kms-api';

const launcher = fileURLToPath(new URL('../../bin/waxseal.js', import.meta.url));

interface PluginProcess {
  readonly child: ChildProcess;
  /** The JSON line it printed. */
  readonly ready: { readonly sockets: readonly string[]; readonly healthEndpoint: string | null };
  /** What it has written to standard error. */
  readonly errors: () => string;
  client(endpoint: string): KmsV2Client;
  health(path: string): Promise<{ readonly status: number; readonly body: string }>;
  /** SIGTERM, and its exit code. */
  stop(): Promise<number | null>;
}

interface PluginProcessOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Started by a shell that knows the pid as `$$`, with these variables before the command. */
  readonly shellVariables?: string;
  /** File descriptors it inherits from 3 on. */
  readonly inherit?: readonly number[];
}

export async function startPluginProcess(
  t: TestContext,
  args: readonly string[],
  options: PluginProcessOptions = {},
): Promise<PluginProcess> {
  const own = Object.entries(process.env).filter(([name]) => !/^(AWS|WAXSEAL|LISTEN|NOTIFY)_/.test(name));
  const command = [process.execPath, launcher, 'plugin', ...args, '--output', 'json'];
  const [program, ...rest] =
    options.shellVariables === undefined
      ? command
      : ['sh', '-c', `${options.shellVariables} exec "$@"`, 'sh', ...command];
  const child = spawn(program ?? '', rest, {
    stdio: ['ignore', 'pipe', 'pipe', ...(options.inherit ?? [])],
    env: { ...Object.fromEntries(own), ...options.env },
  });
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  if (child.stdout === null) throw new Error('no standard output');
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([text]) => String(text)),
    ended.then(() => undefined),
  ]);
  if (line === undefined) throw new Error(`it ended before it listened: ${errors}`);
  const ready = JSON.parse(line) as PluginProcess['ready'];
  return {
    child,
    ready,
    errors: () => errors,
    client: (endpoint) => {
      const client = connectKmsV2({ endpoint });
      t.after(() => {
        client.close();
      });
      return client;
    },
    health: async (path) => {
      const response = await fetch(`${ready.healthEndpoint ?? ''}${path}`);
      return { status: response.status, body: await response.text() };
    },
    stop: async () => {
      child.kill('SIGTERM');
      const [code] = (await ended) as [number | null];
      return code;
    },
  };
}

/** Asks again until it is so; the test's own timeout ends it. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}
