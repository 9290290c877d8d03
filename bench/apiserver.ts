/**
 * Create and get through the API server over TLS, beside its peers in the same run: a bare Node TLS server that encrypts
 * and commits to LMDB, and, when somebody built it, a Kubernetes API server library over etcd (kubepeer).
 *
 *   npm run build && node bench/dist/apiserver.js [SECONDS]
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { machine, table } from './support/machine.js';
import {
  measure,
  peerFolder,
  startBareServer,
  startKubepeer,
  startWaxseal,
  type Target,
} from './support/processes.js';

const seconds = Number(process.argv[2] ?? 5);
const operations = [
  ['create', 64],
  ['get', 64],
  ['create', 1],
  ['get', 1],
] as const;
const folder = await mkdtemp(join(process.env['WAXSEAL_BENCH_DIR'] ?? tmpdir(), 'waxseal-bench-'));
const aesgcm = join(folder, 'aesgcm.json');
await writeFile(
  aesgcm,
  JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      {
        resources: ['secrets'],
        providers: [{ aesgcm: { keys: [{ name: 'a', secret: Buffer.alloc(32, 1).toString('base64') }] } }],
      },
    ],
  }),
);
const peer = peerFolder();
const starters: (() => Promise<Target>)[] = [
  () => startWaxseal(join(folder, 'waxseal')),
  () => startBareServer(join(folder, 'bare'), join(folder, 'waxseal')),
  ...(peer === undefined ? [] : [() => startKubepeer(peer, join(folder, 'peer'), aesgcm)]),
];
console.log(`${machine()}; load generator and server share the machine; ${seconds} s each`);
if (peer === undefined) console.log('kubepeer is not built here: only the bare Node server stands beside');

const rows: string[][] = [];
const ours = new Map<string, number>();
try {
  for (const start of starters) {
    const target = await start();
    try {
      for (const [operation, connections] of operations) {
        const figures = await measure(target, operation, connections, seconds);
        const id = `${operation} ${connections}`;
        if (target.name === 'waxseal') ours.set(id, figures.perSecond);
        rows.push([
          target.name,
          operation,
          String(connections),
          `${figures.perSecond}/s`,
          `${figures.p50Ms} ms`,
          `${figures.p99Ms} ms`,
          String(figures.failures),
          ((ours.get(id) ?? NaN) / figures.perSecond).toFixed(2),
        ]);
      }
    } finally {
      await target.stop();
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
console.log(
  table(
    ['server', 'operation', 'connections', 'throughput', 'p50', 'p99', 'failures', 'waxseal ÷ this'],
    rows,
  ),
);
