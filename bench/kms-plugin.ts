/**
 * The KMS plugin over its socket: Status, Encrypt and Decrypt at 1, 16 and 64 in flight, with a keyring file and with our
 * key service behind, beside a bare gRPC server and a bare HTTP/2 server; memory over 100,000 calls; exec to first Status.
 *
 *   npm run build && node bench/dist/kms-plugin.js [SECONDS] [local|service|memory|start]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectKmsV2 } from '@waxseal/kms-api';
import { openClient } from './support/kms-connection.js';
import { decryptFrame, encryptFrame, statusFrame } from './support/kms-plugin-frames.js';
import {
  measurePlugin,
  type PluginTarget,
  startBare,
  startLocalPlugin,
  startPluginOf,
} from './support/kms-plugin-processes.js';
import { credentials, startKeyService } from './support/kms-processes.js';
import { machine, table } from './support/machine.js';

const seconds = Number(process.argv[2] ?? 2);
const only = process.argv[3];
const inFlights = [1, 16, 64] as const;
const warmUpSeconds = 2;
// More than are ever in flight: equal Decrypts at the same time would be one.
const distinctCalls = 256;
const memoryCalls = 100_000;
const starts = 7;
const folder = await mkdtemp(join(process.env['WAXSEAL_BENCH_DIR'] ?? tmpdir(), 'waxseal-plugin-'));

type Frames = Readonly<Record<'Status' | 'Encrypt' | 'Decrypt', readonly string[]>>;

/** Requests this plugin can answer; its own ciphertexts. */
async function framesFor(target: PluginTarget): Promise<Frames> {
  const client = connectKmsV2({ endpoint: `unix://${target.socketPath}` });
  const encrypts: string[] = [];
  const decrypts: string[] = [];
  for (let i = 0; i < distinctCalls; i++) {
    const plaintext = Buffer.alloc(32, i);
    const { ciphertext, keyId } = await client.encrypt('bench', plaintext);
    encrypts.push(encryptFrame(plaintext).toString('base64'));
    decrypts.push(decryptFrame(ciphertext, keyId).toString('base64'));
  }
  client.close();
  return { Status: [statusFrame.toString('base64')], Encrypt: encrypts, Decrypt: decrypts };
}

async function measureAll(
  targets: readonly PluginTarget[],
  methods: readonly (keyof Frames)[],
  frames: Frames,
): Promise<void> {
  const rows: string[][] = [];
  for (const method of methods) {
    // Code that has run for some hundred milliseconds is not compiled yet, and a plugin runs for weeks.
    for (const target of targets) {
      const settings = {
        method,
        frames: frames[method],
        inFlight: 64,
        warmUpSeconds: 0,
        seconds: warmUpSeconds,
      };
      await measurePlugin(target, settings);
    }
    for (const inFlight of inFlights) {
      for (const target of targets) {
        const settings = { method, frames: frames[method], inFlight, warmUpSeconds: 0.5, seconds };
        const figures = await measurePlugin(target, settings);
        rows.push([
          method,
          String(inFlight),
          target.name,
          `${figures.perSecond}/s`,
          `${figures.p50Ms} ms`,
          `${figures.p99Ms} ms`,
          `${figures.serverMicrosPerCall} µs`,
          `${Math.round(1e6 / figures.serverMicrosPerCall)}/s`,
          loadavg()[0]?.toFixed(1) ?? '',
        ]);
      }
    }
  }
  console.log(
    table(
      [
        'call',
        'in flight',
        'server',
        'throughput',
        'p50',
        'p99',
        'server CPU a call',
        'a core could',
        'load',
      ],
      rows,
    ),
  );
}

async function measureLocal(): Promise<void> {
  const targets = [
    await startLocalPlugin(folder),
    await startBare('bare-grpc', folder),
    await startBare('bare-http2', folder),
  ];
  try {
    await measureAll(targets, ['Status', 'Encrypt', 'Decrypt'], await framesFor(targets[0] as PluginTarget));
  } finally {
    for (const target of targets) await target.stop();
  }
}

async function measureService(): Promise<void> {
  const service = await startKeyService(join(folder, 'service'), 'https');
  const client = await openClient(service.endpoint, credentials);
  const { KeyMetadata } = await client.call('CreateKey', {});
  client.close();
  const plugin = await startPluginOf(folder, service, (KeyMetadata as { readonly KeyId: string }).KeyId);
  try {
    await measureAll([plugin], ['Encrypt', 'Decrypt'], await framesFor(plugin));
  } finally {
    await plugin.stop();
    await service.stop();
  }
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

async function measureMemory(): Promise<void> {
  const plugin = await startLocalPlugin(folder);
  try {
    const frames = await framesFor(plugin);
    const rows: string[][] = [];
    for (const calls of [memoryCalls / 10, memoryCalls / 2, memoryCalls / 2]) {
      const settings = { inFlight: 64, warmUpSeconds: 0, seconds: 0, calls: calls / 2 };
      await measurePlugin(plugin, { ...settings, method: 'Encrypt', frames: frames.Encrypt });
      await measurePlugin(plugin, { ...settings, method: 'Decrypt', frames: frames.Decrypt });
      const { rss, heapUsed } = await plugin.memory();
      rows.push([String(calls), mebibytes(heapUsed), mebibytes(rss)]);
    }
    console.log(table(['after so many more calls', 'heap after collection', 'resident'], rows));
  } finally {
    await plugin.stop();
  }
}

async function measureStart(): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < starts; i++) {
    const startedAt = performance.now();
    const plugin = await startLocalPlugin(folder);
    const client = connectKmsV2({ endpoint: `unix://${plugin.socketPath}` });
    const { healthz } = await client.status();
    times.push(performance.now() - startedAt);
    if (healthz !== 'ok') throw new Error(`the first Status says ${healthz}`);
    client.close();
    await plugin.stop();
  }
  times.sort((a, b) => a - b);
  console.log(
    `exec to first Status answered, ms: ${times.map((ms) => ms.toFixed(0)).join(' ')} (load ${loadavg()[0]?.toFixed(1) ?? ''})`,
  );
}

const parts: Readonly<Record<string, () => Promise<void>>> = {
  local: measureLocal,
  service: measureService,
  memory: measureMemory,
  start: measureStart,
};
console.log(`${machine()}; load generator and server share the machine; ${seconds} s each`);
try {
  for (const [name, measure] of Object.entries(parts)) {
    if (only !== undefined && only !== name) continue;
    console.log(`\n${name}`);
    await measure();
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
