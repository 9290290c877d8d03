/** Runs the real `waxseal` command, as a person types it. */
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const launcher = fileURLToPath(new URL('../../bin/waxseal.js', import.meta.url));

interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: Buffer;
  readonly cwd?: string;
}

/** The developer's own settings of AWS and etcdctl stay out of it. */
function environment(more: CommandOptions['env'] = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(AWS|WAXSEAL|ETCDCTL)_/.test(name));
  return { ...Object.fromEntries(own), ...more };
}

/** Runs to the end, whatever the exit code. */
export function waxseal(args: readonly string[], options: CommandOptions = {}): SpawnSyncReturns<string> {
  const { env, ...more } = options;
  return spawnSync(process.execPath, [launcher, ...args], {
    encoding: 'utf8',
    env: environment(env),
    ...more,
  });
}

interface Running {
  /** The first line it printed. */
  readonly line: string;
  readonly stop: () => Promise<void>;
}

/** A command that runs until it is stopped; resolves when it has printed a line. */
export async function spawnWaxseal(args: readonly string[], options: CommandOptions = {}): Promise<Running> {
  const child = spawn(process.execPath, [launcher, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: environment(options.env),
  });
  const ended = once(child, 'exit');
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return {
    line,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

interface Served {
  /** The JSON line it printed when ready. */
  readonly ready: { readonly endpoint: string; readonly caFile: string; readonly credentialsFile: string };
  stop(): Promise<void>;
}

/** `waxseal kms serve` on a free port. */
export async function serveKms(args: readonly string[], options: CommandOptions = {}): Promise<Served> {
  const { line, stop } = await spawnWaxseal(
    ['kms', 'serve', '--port', '0', '--output', 'json', ...args],
    options,
  );
  return { ready: JSON.parse(line) as Served['ready'], stop };
}
