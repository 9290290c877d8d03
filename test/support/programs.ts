/** Runs the real clients: kubectl, helm, aws, etcdctl. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { repository, type UpReady } from './waxseal.js';

export const kubectlVersions = ['1.32', '1.33', '1.34', '1.35', '1.36'] as const;

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program installed by `npm run tools`. A missing one is a failure that names the command. */
export function tool(name: string): string {
  const path = join(process.env['WAXSEAL_TOOLS'] ?? join(repository, '.tools/bin'), name);
  if (!existsSync(path)) throw new Error(`${name} is not installed. Run: npm run tools`);
  return path;
}

/** The interpreter that the aws CLI runs on, and the environment in which it finds botocore. */
export function python(): {
  readonly program: string;
  readonly environment: Readonly<Record<string, string>>;
} {
  const root = join(dirname(tool('aws')), '../debian');
  const libraries = ['lib', 'usr/lib'].flatMap((folder) =>
    ['x86_64', 'aarch64'].map((machine) => join(root, folder, `${machine}-linux-gnu`)),
  );
  return {
    program: join(root, 'usr/bin/python3'),
    environment: {
      PYTHONPATH: join(root, 'usr/lib/python3/dist-packages'),
      PYTHONDONTWRITEBYTECODE: '1',
      LD_LIBRARY_PATH: libraries.join(':'),
    },
  };
}

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
}

/** Runs to the end and returns what it printed, whatever the exit code. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
    // A program that has ended does not read what it was given.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.stdin ?? '');
  });
}

/** As `run`, but a failure throws with everything the program said. */
export async function succeed(
  program: string,
  args: readonly string[],
  options?: RunOptions,
): Promise<string> {
  const result = await run(program, args, options);
  if (result.code !== 0) {
    throw new Error(
      `${program} ${args.join(' ')} ended with ${result.code}\n${result.stdout}\n${result.stderr}`,
    );
  }
  return result.stdout;
}

/** The real clients, pointed at one running `waxseal up`. */
export function clientsOf(ready: UpReady) {
  const kubeconfig = ['--kubeconfig', ready.kubeconfig];
  const awsEnvironment = {
    AWS_SHARED_CREDENTIALS_FILE: ready.credentialsFile,
    AWS_CA_BUNDLE: ready.caFile,
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_PAGER: '',
  };
  const awsArguments = ['--endpoint-url', ready.kmsEndpoint, '--region', ready.region, '--output', 'json'];
  const etcdArguments = [
    `--endpoints=${ready.etcdEndpoint}`,
    `--cacert=${ready.caFile}`,
    `--cert=${ready.etcdCertFile}`,
    `--key=${ready.etcdKeyFile}`,
  ];
  const etcdEnvironment = { ETCDCTL_API: '3' };
  return {
    kubectl: (args: readonly string[], options?: RunOptions & { readonly version?: string }) =>
      succeed(tool(`kubectl-${options?.version ?? '1.36'}`), [...kubeconfig, ...args], options),
    tryKubectl: (args: readonly string[], options?: RunOptions & { readonly version?: string }) =>
      run(tool(`kubectl-${options?.version ?? '1.36'}`), [...kubeconfig, ...args], options),
    helm: (args: readonly string[], options?: RunOptions) =>
      succeed(tool('helm'), [...kubeconfig, ...args], options),
    aws: (args: readonly string[]) =>
      succeed(tool('aws'), [...awsArguments, ...args], { env: awsEnvironment }),
    tryAws: (args: readonly string[]) =>
      run(tool('aws'), [...awsArguments, ...args], { env: awsEnvironment }),
    etcdctl: (args: readonly string[], options?: RunOptions) =>
      succeed(tool('etcdctl'), [...etcdArguments, ...args], { ...options, env: etcdEnvironment }),
  };
}
