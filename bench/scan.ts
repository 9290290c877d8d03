/**
 * `scan` from a live etcd and from its snapshot, beside etcdctl that reads the same: `etcdctl snapshot status`, which looks at every value of the
 * file, and `etcdctl get --prefix`, which fetches every value. Values are KMS v2's, of 700 bytes, under a hundred DEK sources.
 *
 * "Our CPU" is this process's alone, all threads: where the machine does other work, it tells more than the seconds.
 *
 * Run: `npx tsc -b bench && node bench/dist/scan.js [VALUES]` (default 200,000; 1,500,000 make a snapshot of more than 1 GiB).
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { encodeEncryptedObject } from '@waxseal/envelope';
import { openEtcdSource, openSnapshotSource, scan, type Source } from '@waxseal/ops';
import { openEtcdStore } from '@waxseal/storage';
import { startEtcd, tools } from './support/etcd.js';
import { machine, table } from './support/machine.js';

const run = promisify(execFile);
const values = Number(process.argv[2] ?? 200_000);
const PREFIX = Buffer.from('/registry/');
const PUTS = 100;
const DEK_SOURCES = 100;

const folder = mkdtempSync(join(process.env['WAXSEAL_BENCH_DIR'] ?? tmpdir(), 'waxseal-bench-scan-'));
const etcd = await startEtcd(folder, false);
const { endpoint } = etcd;
const env = { ...process.env, ETCDCTL_API: '3' };
const rows: string[][] = [];
try {
  await fill();
  const snapshot = join(folder, 'snapshot.db');
  await etcdctl('snapshot', 'save', snapshot);
  const mebibytes = Math.round(statSync(snapshot).size / 2 ** 20);

  await measure('etcdctl get --prefix --write-out=protobuf', () =>
    etcdctl('get', '--prefix', '/registry/', '--write-out=protobuf'),
  );
  await measure('scan --etcd', () => scanned(openEtcdSource({ endpoints: [endpoint] })));
  await measure('etcdctl snapshot status', () => etcdctl('snapshot', 'status', snapshot));
  await measure('scan --snapshot', () => scanned(openSnapshotSource(snapshot)));
  console.log(`${machine()}\n${values} values, snapshot of ${mebibytes} MiB\n`);
  console.log(table(['', 'SECONDS', 'VALUES/S', 'OUR CPU, S', 'OUR MEMORY, MiB'], rows));
} finally {
  await etcd.stop();
  rmSync(folder, { recursive: true, force: true });
}

async function fill(): Promise<void> {
  const store = await openEtcdStore({
    endpoints: [endpoint],
    dialTimeoutMs: 30_000,
    requestTimeoutMs: 30_000,
  });
  const stored = Array.from({ length: DEK_SOURCES }, (_, index) => sealed(index));
  for (let first = 0; first < values; first += PUTS * 8) {
    await Promise.all(
      Array.from({ length: 8 }, (_, part) =>
        store.txn({
          compare: [],
          success: Array.from({ length: Math.min(PUTS, values - first) }, (__, index) => ({
            kind: 'put' as const,
            key: Buffer.from(`/registry/secrets/ns-${index}/secret-${first + part * PUTS + index}`),
            value: stored[index % DEK_SOURCES] as Buffer,
          })),
          failure: [],
        }),
      ),
    );
  }
  await store.close();
}

function sealed(index: number): Buffer {
  const body = encodeEncryptedObject({
    encryptedData: Buffer.alloc(500, index),
    keyId: 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab',
    encryptedDekSource: Buffer.alloc(100, `source ${index}`),
    encryptedDekSourceType: 1,
    annotations: {},
  });
  return Buffer.concat([Buffer.from('k8s:enc:kms:v2:waxseal:'), body]);
}

async function scanned(opening: Promise<Source>): Promise<void> {
  const source = await opening;
  const { total } = await scan(source, { prefix: PREFIX });
  await source.close();
  if (total < values) throw new Error(`only ${total} of ${values} values were found`);
}

async function measure(name: string, work: () => Promise<unknown>): Promise<void> {
  let peakBytes = 0;
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, process.memoryUsage().rss);
  }, 50);
  const begin = performance.now();
  const before = process.cpuUsage();
  await work();
  const seconds = (performance.now() - begin) / 1_000;
  const { user, system } = process.cpuUsage(before);
  const cpuSeconds = (user + system) / 1e6;
  clearInterval(timer);
  rows.push([
    name,
    seconds.toFixed(2),
    Math.round(values / seconds).toLocaleString('en'),
    cpuSeconds.toFixed(2),
    String(Math.round(peakBytes / 2 ** 20)),
  ]);
}

async function etcdctl(...args: readonly string[]): Promise<void> {
  await run(
    '/bin/sh',
    [
      '-c',
      '"$@" > /dev/null',
      'sh',
      join(tools, 'etcdctl'),
      `--endpoints=${endpoint}`,
      '--command-timeout=300s',
      ...args,
    ],
    { env },
  );
}
