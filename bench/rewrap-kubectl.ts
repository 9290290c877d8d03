/**
 * `waxseal rewrap` beside what the documentation of Kubernetes tells to do after a key changed: `kubectl get -o json | kubectl replace -f -`. The same
 * secrets in the same etcd, each command as a user types it, start of its process included: kubectl takes them from aescbc to secretbox through a
 * Waxseal API server, rewrap takes them on to aesgcm, and back to aescbc with --offline. A scan after each counts what was done.
 *
 * Run: `npm run build && npm run tools && npx tsc -b bench && node bench/dist/rewrap-kubectl.js [SECRETS]`.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createEncryptionAtRest } from '@waxseal/encryption-config';
import { openEtcdSource, scan } from '@waxseal/ops';
import { openEtcdStore } from '@waxseal/storage';
import { startEtcd, tools } from './support/etcd.js';
import { machine, table } from './support/machine.js';
import { end, firstLine } from './support/processes.js';

const run = promisify(execFile);
const waxseal = fileURLToPath(new URL('../../packages/cli/bin/waxseal.js', import.meta.url));
const secrets = Number(process.argv[2] ?? 2_000);
const folder = mkdtempSync(join(process.env['WAXSEAL_BENCH_DIR'] ?? tmpdir(), 'waxseal-bench-kubectl-'));
const etcd = await startEtcd(folder, true);

type Kind = 'aescbc' | 'secretbox' | 'aesgcm';
const kinds: readonly Kind[] = ['aescbc', 'secretbox', 'aesgcm'];

/** An EncryptionConfiguration that reads all three and writes with `first`. */
function configuration(first: Kind): string {
  const entry = (kind: Kind): string => {
    const secret = Buffer.alloc(32, kind).toString('base64');
    return `      - ${kind}: { keys: [{ name: k, secret: ${secret} }] }\n`;
  };
  const providers = [first, ...kinds.filter((kind) => kind !== first)].map(entry).join('');
  const head = 'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n';
  const file = join(folder, `${first}.yaml`);
  writeFileSync(file, `${head}  - resources: [secrets]\n    providers:\n${providers}`, { mode: 0o600 });
  return file;
}

async function fill(): Promise<void> {
  const encryption = await createEncryptionAtRest({ file: configuration('aescbc') });
  const transformer = encryption.transformerFor({ group: '', resource: 'secrets' });
  const store = await openEtcdStore({
    endpoints: [etcd.endpoint],
    dialTimeoutMs: 30_000,
    requestTimeoutMs: 30_000,
  });
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < secrets; i = next++) {
      const name = `secret-${i}`;
      const key = Buffer.from(`/registry/secrets/default/${name}`);
      const value = await transformer.transformToStorage(Buffer.from(JSON.stringify(secret(name))), key);
      await store.txn({ compare: [], success: [{ kind: 'put', key, value }], failure: [] });
    }
  };
  await Promise.all(Array.from({ length: 64 }, worker));
  await store.close();
  await encryption.close();
}

function secret(name: string): unknown {
  return {
    kind: 'Secret',
    apiVersion: 'v1',
    metadata: {
      name,
      namespace: 'default',
      uid: crypto.randomUUID(),
      creationTimestamp: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
    },
    data: { password: Buffer.alloc(700, name).toString('base64') },
    type: 'Opaque',
  };
}

/** @throws when not every secret lies under `kind` */
async function proveAll(kind: Kind): Promise<void> {
  const source = await openEtcdSource({ endpoints: [etcd.endpoint] });
  const { groups } = await scan(source, { prefix: Buffer.from('/registry/') });
  await source.close();
  const found = groups.filter(({ resource }) => resource === 'secrets');
  if (found.length !== 1 || found[0]?.provider !== kind || found[0].count !== secrets)
    throw new Error(`not all under ${kind}: ${JSON.stringify(found)}`);
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return (performance.now() - begin) / 1_000;
}

try {
  await fill();
  await proveAll('aescbc');
  const serving = [
    ['apiserver', '--data-dir', join(folder, 'api'), '--port', '0', '--output', 'json'],
    ['--storage', etcd.endpoint.replace('http:', 'etcd:')],
    ['--encryption-provider-config', configuration('secretbox')],
  ].flat();
  const api = spawn(process.execPath, [waxseal, ...serving], { stdio: ['ignore', 'pipe', 'inherit'] });
  const { kubeconfig } = JSON.parse(await firstLine(api)) as { readonly kubeconfig: string };
  const replace = `"$0" get secrets -n default -o json | "$0" replace -f - > /dev/null`;
  const kubectlSeconds = await seconds(() =>
    run('/bin/sh', ['-c', replace, join(tools, 'kubectl')], {
      env: { ...process.env, KUBECONFIG: kubeconfig },
    }),
  );
  await proveAll('secretbox');
  await end(api);

  const rewrap = (kind: Kind, ...more: readonly string[]): Promise<unknown> => {
    const options = ['--etcd', etcd.endpoint, '--encryption-config', configuration(kind), '--output', 'json'];
    return run(process.execPath, [waxseal, 'rewrap', ...options, ...more]);
  };
  const rewrapSeconds = await seconds(() => rewrap('aesgcm'));
  await proveAll('aesgcm');
  const offlineSeconds = await seconds(() => rewrap('aescbc', '--offline'));
  await proveAll('aescbc');

  const row = (name: string, took: number): string[] => [
    name,
    took.toFixed(1),
    Math.round(secrets / took).toLocaleString('en'),
    (kubectlSeconds / took).toFixed(1),
  ];
  console.log(`${machine()}, ${secrets} secrets\n`);
  console.log(
    table(
      ['', 'SECONDS', 'SECRETS/S', 'RATIO'],
      [
        row('kubectl get | kubectl replace', kubectlSeconds),
        row('waxseal rewrap, with its proof', rewrapSeconds),
        row('waxseal rewrap --offline, with its proof', offlineSeconds),
      ],
    ),
  );
} finally {
  await etcd.stop();
  rmSync(folder, { recursive: true, force: true });
}
