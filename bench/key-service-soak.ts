/**
 * Many calls, and what memory the key service has after each tenth of them: it must not grow once it is warm.
 *
 *   npm run build && node bench/dist/key-service-soak.js [CALLS]      default 1,000,000; a few minutes
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openClient } from './support/kms-connection.js';
import { credentials, measureKms, startKeyService } from './support/kms-processes.js';
import { machine, table } from './support/machine.js';

const calls = Number(process.argv[2] ?? 1_000_000);
const steps = 12;
/** The first steps fill caches and let the heap find its size. */
const warmUpSteps = 3;
const operations = ['Encrypt', 'Decrypt', 'GenerateDataKey'] as const;
/** What two samples of a process that leaks nothing may differ by. */
const toleratedHeapBytes = 8 * 2 ** 20;
const toleratedRssBytes = 64 * 2 ** 20;
const folder = await mkdtemp(join(process.env['WAXSEAL_BENCH_DIR'] ?? tmpdir(), 'waxseal-soak-'));

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Growth from the mean of the first half of the samples to that of the second. */
function growth(samples: readonly number[]): number {
  const half = Math.floor(samples.length / 2);
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  return mean(samples.slice(half)) - mean(samples.slice(0, half));
}

console.log(
  `${machine()}; ${calls} calls over HTTPS, 64 connections, every request with a signature of its own`,
);
const target = await startKeyService(folder, 'https', { probe: true });
try {
  const client = await openClient(target.endpoint, credentials);
  const { KeyMetadata } = await client.call('CreateKey', {});
  client.close();
  const { KeyId: keyId } = KeyMetadata as { readonly KeyId: string };
  const heap: number[] = [];
  const resident: number[] = [];
  const rows: string[][] = [];
  let failures = 0;
  for (let step = 1; step <= steps; step++) {
    for (const operation of operations) {
      const figures = await measureKms(target, {
        operation,
        keyId,
        connections: 64,
        warmUpSeconds: 0,
        seconds: 0,
        calls: Math.ceil(calls / steps / operations.length),
        sign: 'each',
      });
      failures += figures.failures;
    }
    const { heapUsed, rss } = await target.memory();
    if (step > warmUpSteps) {
      heap.push(heapUsed);
      resident.push(rss);
    }
    rows.push([String(Math.round((calls / steps) * step)), mebibytes(heapUsed), mebibytes(rss)]);
  }
  console.log(table(['calls', 'heap after collection', 'resident'], rows));
  const heapGrowth = growth(heap);
  const residentGrowth = growth(resident);
  const flat = heapGrowth < toleratedHeapBytes && residentGrowth < toleratedRssBytes && failures === 0;
  console.log(
    `${flat ? 'flat' : 'NOT FLAT'}: after warm-up the heap grew by ${mebibytes(heapGrowth)}, the process by ${mebibytes(residentGrowth)}; ${failures} calls failed`,
  );
  if (!flat) process.exitCode = 1;
} finally {
  await target.stop();
  await rm(folder, { recursive: true, force: true });
}
