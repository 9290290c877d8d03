/** Starts key services to be measured, each as a process of its own, and puts load on them. */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KmsEndpoint } from './kms-connection.js';
import type { KmsFigures, KmsLoad } from './kms-figures.js';
import { end, firstLine } from './processes.js';
import type { Credentials } from './sigv4.js';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const here = fileURLToPath(new URL('../', import.meta.url));

export type Transport = 'http' | 'https';

/** A key service under load. */
export interface KmsTarget {
  readonly name: string;
  readonly endpoint: KmsEndpoint;
  readonly pid: number;
  /** Exec to listening. */
  readonly startMs: number;
  /** Answers `{rss, heapUsed}` in bytes after a garbage collection, when started with `probe`. */
  memory(): Promise<{ readonly rss: number; readonly heapUsed: number }>;
  stop(): Promise<void>;
}

export const credentials: Credentials = {
  accessKeyId: 'AKIABENCHBENCHBENCH1',
  secretAccessKey: 'not a secret: it signs the requests of benchmarks',
  region: 'us-east-1',
};

/** A user with an administrator's identity policy, so that every call is decided by the key's policy and by the user's. */
const config = `accounts:
  - id: "111122223333"
    users:
      - name: bench
        accessKeys: [{ id: ${credentials.accessKeyId}, secret: "${credentials.secretAccessKey}" }]
        policies: [AdministratorAccess]
`;

/** @param probe lets memory() be asked for */
export async function startKeyService(
  dataDir: string,
  transport: Transport,
  { probe = false }: { readonly probe?: boolean } = {},
): Promise<KmsTarget> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const configFile = join(dataDir, 'bench.yaml');
  writeFileSync(configFile, config, { mode: 0o600 });
  const startedAt = performance.now();
  const nodeFlags = (process.env['WAXSEAL_BENCH_NODE_FLAGS'] ?? '').split(' ').filter((flag) => flag !== '');
  const child = spawn(
    process.execPath,
    [
      ...nodeFlags,
      ...(probe ? ['--expose-gc', '--import', join(here, 'support/memory-probe.js')] : []),
      join(repository, 'packages/cli/bin/waxseal.js'),
      'kms',
      'serve',
      '--data-dir',
      dataDir,
      '--config',
      configFile,
      '--port',
      '0',
      '--log-level',
      'warn',
      '--output',
      'json',
      ...(transport === 'http' ? ['--insecure-http'] : []),
    ],
    { stdio: probe ? ['ignore', 'pipe', 'inherit', 'ipc'] : ['ignore', 'pipe', 'inherit'] },
  );
  const ready = JSON.parse(await firstLine(child)) as { readonly endpoint: string; readonly caFile: string };
  return {
    name: 'waxseal',
    endpoint: { url: ready.endpoint, caFile: ready.caFile },
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

/** Over HTTPS with the certificate of a key service that was started before, so that both pay the same for TLS. */
export async function startBareKms(transport: Transport, waxsealDataDir: string): Promise<KmsTarget> {
  const pki = join(waxsealDataDir, 'pki');
  const certificate = [join(pki, 'key-service.crt'), join(pki, 'key-service.key')];
  const startedAt = performance.now();
  const child = spawn(
    process.execPath,
    [
      join(here, 'peers/bare-kms.js'),
      credentials.accessKeyId,
      credentials.secretAccessKey,
      ...(transport === 'https' ? certificate : []),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const url = await firstLine(child);
  return {
    name: 'bare Node, SigV4 + AES-GCM',
    endpoint: { url, caFile: join(pki, 'ca.crt') },
    pid: child.pid ?? 0,
    startMs: performance.now() - startedAt,
    memory: () => Promise.reject(new Error('the bare server has no probe')),
    stop: () => end(child),
  };
}

export type LoadSettings = Pick<
  KmsLoad,
  'operation' | 'keyId' | 'connections' | 'warmUpSeconds' | 'seconds' | 'sign'
> &
  Partial<Pick<KmsLoad, 'bodies' | 'calls'>>;

/** Prints the first failure, should there be one: figures of failed calls are no figures. */
export async function measureKms(target: KmsTarget, settings: LoadSettings): Promise<KmsFigures> {
  const load: KmsLoad = { ...settings, endpoint: target.endpoint, credentials, pid: target.pid };
  const child = spawn(process.execPath, [join(here, 'support/kms-load.js')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(JSON.stringify(load));
  const figures = JSON.parse(await firstLine(child)) as KmsFigures;
  if (figures.failures > 0)
    console.log(`${target.name}: ${figures.failures} calls failed: ${figures.firstFailure}`);
  return figures;
}
