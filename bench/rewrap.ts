/**
 * How fast `rewrap` encrypts an etcd's secrets again, and in how much memory: a real etcd on this machine, secrets of 1 KiB under aescbc
 * rewritten under secretbox and back, one transaction and one fsync-ed revision each.
 *
 * Run: `npx tsc -b bench && node bench/dist/rewrap.js [secrets]`. The peer of the same run is the plainest thing that could be done: the same
 * number of compare-and-swaps of values that are ready, by as many workers, without reading, opening, sealing or proving.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEncryptionAtRest, systemClock, type EncryptionAtRest } from '@waxseal/encryption-config';
import { rewrap, type RewrapReport } from '@waxseal/ops';
import { openEtcdStore, type Store } from '@waxseal/storage';
import { startEtcd } from './support/etcd.js';
import { machine, table } from './support/machine.js';

const SECRETS = Number(process.argv[2] ?? 20_000);
const VALUE_BYTES = 1024;
const WORKERS = 64;
const MIB = 1 << 20;

const folder = mkdtempSync(join(tmpdir(), 'waxseal-bench-rewrap-'));
const secrets = { group: '', resource: 'secrets' };

function encryption(first: 'aescbc' | 'secretbox'): Promise<EncryptionAtRest> {
  const provider = (kind: string, byte: number): unknown => ({
    [kind]: { keys: [{ name: 'k', secret: Buffer.alloc(32, byte).toString('base64') }] },
  });
  const both = [provider('aescbc', 1), provider('secretbox', 2)];
  const providers = first === 'aescbc' ? both : both.toReversed();
  const file = join(folder, `${first}.yaml`);
  const config = {
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [{ resources: ['secrets'], providers }],
  };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return createEncryptionAtRest({ file });
}

const keyOf = (i: number): Buffer => Buffer.from(`/registry/secrets/ns-${i % 50}/secret-${i}`);

/** `SECRETS` times, by `WORKERS` at once. */
async function each(work: (i: number) => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < SECRETS) await work(next++);
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
  return SECRETS / ((performance.now() - startMs) / 1000);
}

async function measured(
  store: Store,
  under: EncryptionAtRest,
  offline: boolean,
): Promise<{
  readonly report: RewrapReport;
  readonly firstPass: number;
  readonly whole: number;
  readonly cpuMicros: number;
  readonly peakMib: number;
}> {
  const startMs = performance.now();
  const startCpu = process.cpuUsage();
  let firstPassMicros = 0;
  let firstPassMs = 0;
  let peak = 0;
  const report = await rewrap({
    store,
    transformerFor: (resource) => under.transformerFor(resource),
    resources: ['secrets'],
    offline,
    signal: new AbortController().signal,
    clock: systemClock,
    onProgress: ({ phase }) => {
      peak = Math.max(peak, process.memoryUsage.rss());
      if (phase !== 'rewrap') return;
      firstPassMs = performance.now() - startMs;
      const { user, system } = process.cpuUsage(startCpu);
      firstPassMicros = user + system;
    },
  });
  const perSecond = (ms: number): number => SECRETS / (ms / 1000);
  const whole = perSecond(performance.now() - startMs);
  const cpuMicros = firstPassMicros / SECRETS;
  return { report, firstPass: perSecond(firstPassMs), whole, cpuMicros, peakMib: peak / MIB };
}

const server = await startEtcd(folder, true);
try {
  const store = await openEtcdStore({
    endpoints: [server.endpoint],
    dialTimeoutMs: 10_000,
    requestTimeoutMs: 10_000,
  });
  const [cbc, box] = [await encryption('aescbc'), await encryption('secretbox')];
  const text = Buffer.alloc(VALUE_BYTES, 'secret');
  console.log(`${machine()}, ${SECRETS} secrets of ${VALUE_BYTES} bytes, ${WORKERS} workers\n`);
  const sealed = cbc.transformerFor(secrets);
  const revisions = new Map<number, number>();
  await each(async (i) => {
    const value = await sealed.transformToStorage(text, keyOf(i));
    const { revision } = await store.txn({
      compare: [],
      success: [{ kind: 'put', key: keyOf(i), value }],
      failure: [],
    });
    if (i < SECRETS) revisions.set(i, revision);
  });
  const ready = await sealed.transformToStorage(text, keyOf(0));
  const bare = await each(async (i) => {
    const key = keyOf(i);
    const number = revisions.get(i) ?? 0;
    await store.txn({
      compare: [{ key, target: 'modRevision', result: 'equal', number }],
      success: [{ kind: 'put', key, value: ready }],
      failure: [],
    });
  });
  revisions.clear();
  const rows = [['bare compare-and-swap', Math.round(bare).toString(), '', '1.00', '', '']];
  for (const [name, under, offline] of [
    ['aescbc to secretbox', box, false],
    ['secretbox to aescbc', cbc, false],
    ['aescbc to secretbox, offline', box, true],
    ['secretbox to aescbc, offline', cbc, true],
  ] as const) {
    const { report, firstPass, whole, cpuMicros, peakMib } = await measured(store, under, offline);
    if (report.rewritten !== SECRETS || report.remaining !== 0) throw new Error(JSON.stringify(report));
    rows.push([
      name,
      Math.round(firstPass).toString(),
      Math.round(whole).toString(),
      (firstPass / bare).toFixed(2),
      cpuMicros.toFixed(0),
      peakMib.toFixed(0),
    ]);
  }
  console.log(table(['', 'objects/s', 'with proof', 'ratio', 'CPU µs each', 'peak MiB'], rows));
  await store.close();
  await Promise.all([cbc.close(), box.close()]);
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
