/**
 * The key service with many keys beside the same service with ten: start, pages of ListKeys, and the rate of operations.
 * Both run at once and are measured in turn, round by round; the ratio is that of the medians of the processor time of a call.
 *
 *   npm run build && node bench/dist/key-service-many-keys.js [KEYS] [ROUNDS] [SECONDS]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KmsClient, openClient } from './support/kms-connection.js';
import {
  credentials,
  type KmsTarget,
  type LoadSettings,
  measureKms,
  startKeyService,
} from './support/kms-processes.js';
import { machine, table } from './support/machine.js';
import { processorMs } from './support/processor-time.js';

const manyKeys = Number(process.argv[2] ?? 100_000);
const rounds = Number(process.argv[3] ?? 3);
const seconds = Number(process.argv[4] ?? 1);
const fewKeys = 10;
const connections = 16;
const aliasesARound = 1000;
const pageOfAliases = 10;
const folder = await mkdtemp(join(process.env['WAXSEAL_BENCH_DIR'] ?? tmpdir(), 'waxseal-keys-'));
const fewFolder = join(folder, 'few');
const manyFolder = join(folder, 'many');

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

const filling = {
  operation: 'CreateKey',
  keyId: '',
  connections: 64,
  warmUpSeconds: 0,
  seconds: 0,
  sign: 'second',
} as const;

/**
 * As many keys as there shall be, and one key to work with that has a tenth as many aliases; at least as many as a page of them, or the
 * answers would differ in size.
 */
async function fill(target: KmsTarget, keys: number): Promise<string> {
  await measureKms(target, { ...filling, bodies: [{}], calls: keys - 1 });
  const client = await openClient(target.endpoint, credentials);
  const { KeyMetadata } = await client.call('CreateKey', {});
  const { KeyId } = KeyMetadata as { readonly KeyId: string };
  client.close();
  const bodies = Array.from({ length: Math.max(pageOfAliases, keys / 10) }, (_, i) => ({
    AliasName: `alias/filled-${i}`,
    TargetKeyId: KeyId,
  }));
  await measureKms(target, { ...filling, operation: 'CreateAlias', bodies, calls: bodies.length });
  return KeyId;
}

let named = 0;
/** New names for every run: an alias can be made once. */
function aliasBodies(keyId: string): readonly unknown[] {
  const run = named++;
  return Array.from({ length: aliasesARound }, (_, i) => ({
    AliasName: `alias/run-${run}-${i}`,
    TargetKeyId: keyId,
  }));
}

/** What is sent in turn; undefined: what the load generator makes itself. */
const operations: readonly (readonly [string, ((keyId: string) => Partial<LoadSettings>) | undefined])[] = [
  ['Encrypt', undefined],
  ['Decrypt', undefined],
  ['GenerateDataKey', undefined],
  ['DescribeKey', (KeyId) => ({ bodies: [{ KeyId }] })],
  ['ListAliases', (KeyId) => ({ bodies: [{ KeyId, Limit: pageOfAliases }] })],
  ['ListKeys', () => ({ bodies: [{ Limit: 10 }] })],
  [
    'CreateAlias',
    (keyId) => {
      const bodies = aliasBodies(keyId);
      return { bodies, calls: bodies.length };
    },
  ],
  // Last: afterwards few keys are no longer few.
  ['CreateKey', () => ({ bodies: [{}] })],
];

interface StartTime {
  readonly ms: number;
  /** Processor time of all threads. Tells more than the clock on a busy machine. */
  readonly processorMs: number;
}

/** From exec to the first answer to a signed call. */
async function timeStart(dataDir: string, keyId: string): Promise<StartTime> {
  const startedAt = performance.now();
  const target = await startKeyService(dataDir, 'https');
  const client = await openClient(target.endpoint, credentials);
  await client.call('DescribeKey', { KeyId: keyId });
  const time = { ms: performance.now() - startedAt, processorMs: processorMs(target.pid) };
  client.close();
  await target.stop();
  return time;
}

interface PageTimes {
  readonly pages: number;
  readonly medianMs: number;
  readonly slowestMs: number;
}

/** Reads the whole list in pages of `Limit`. */
async function timePages(client: KmsClient, Limit: number): Promise<PageTimes> {
  const times: number[] = [];
  let Marker: unknown;
  do {
    const startedAt = performance.now();
    const page = await client.call('ListKeys', Marker === undefined ? { Limit } : { Limit, Marker });
    times.push(performance.now() - startedAt);
    Marker = page['NextMarker'];
  } while (Marker !== undefined);
  return { pages: times.length, medianMs: median(times), slowestMs: Math.max(...times) };
}

async function compareOperations(
  few: KmsTarget,
  many: KmsTarget,
  keyIds: readonly [string, string],
): Promise<string[][]> {
  const rows: string[][] = [];
  for (const [operation, settingsOf] of operations) {
    const micros: readonly [number[], number[]] = [[], []];
    const rates: readonly [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round++) {
      for (const [index, target] of [few, many].entries()) {
        const keyId = keyIds[index] ?? '';
        const figures = await measureKms(target, {
          operation,
          keyId,
          connections,
          warmUpSeconds: 0.2,
          seconds,
          sign: 'second',
          ...settingsOf?.(keyId),
        });
        micros[index]?.push(figures.serverMicrosPerCall);
        rates[index]?.push(figures.perSecond);
      }
    }
    rows.push([
      operation,
      ...rates.map((values) => `${median(values)}/s`),
      ...micros.map((values) => `${median(values)} µs`),
      (median(micros[1]) / median(micros[0])).toFixed(2),
      (median(rates[0]) / median(rates[1])).toFixed(2),
    ]);
  }
  return rows;
}

const show = (ms: number): string => `${ms.toFixed(1)} ms`;

console.log(
  `${machine()}; ${manyKeys} keys beside ${fewKeys}; ${rounds} rounds of ${seconds} s, ${connections} connections, HTTPS`,
);
try {
  const few = await startKeyService(fewFolder, 'https');
  const many = await startKeyService(manyFolder, 'https');
  const fewKeyId = await fill(few, fewKeys);
  const filledAt = performance.now();
  const manyKeyId = await fill(many, manyKeys);
  console.log(`made in ${((performance.now() - filledAt) / 1000).toFixed(0)} s`);
  await few.stop();
  await many.stop();

  const starts: readonly (readonly [string, string, string])[] = [
    [`${fewKeys} keys`, fewFolder, fewKeyId],
    [`${manyKeys} keys`, manyFolder, manyKeyId],
  ];
  const startRows: string[][] = [];
  for (const [name, dataDir, keyId] of starts) {
    const times: StartTime[] = [];
    for (let round = 0; round < rounds; round++) times.push(await timeStart(dataDir, keyId));
    startRows.push([
      name,
      show(median(times.map(({ ms }) => ms))),
      show(median(times.map((time) => time.processorMs))),
      times.map(({ ms }) => ms.toFixed(0)).join(' '),
    ]);
  }
  console.log(`\n${table(['start', 'exec to first answer', 'CPU', 'all'], startRows)}`);

  const fewAgain = await startKeyService(fewFolder, 'https');
  const manyAgain = await startKeyService(manyFolder, 'https');
  try {
    const client = await openClient(manyAgain.endpoint, credentials);
    const pageRows: string[][] = [];
    for (const limit of [100, 1000]) {
      const { pages, medianMs, slowestMs } = await timePages(client, limit);
      pageRows.push([`ListKeys, Limit ${limit}`, String(pages), show(medianMs), show(slowestMs)]);
    }
    client.close();
    console.log(`\n${table(['pages', 'count', 'median', 'slowest'], pageRows)}`);
    const rows = await compareOperations(fewAgain, manyAgain, [fewKeyId, manyKeyId]);
    const header = ['operation', `rate, ${fewKeys}`, `rate, ${manyKeys}`, `CPU, ${fewKeys}`];
    console.log(`\n${table([...header, `CPU, ${manyKeys}`, 'CPU, many ÷ few', 'time, many ÷ few'], rows)}`);
  } finally {
    await fewAgain.stop();
    await manyAgain.stop();
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
