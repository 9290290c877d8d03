/**
 * Encrypt, Decrypt and GenerateDataKey of the key service, every request signed, over HTTP and HTTPS, beside a bare Node
 * server that verifies the signature and does one AES-GCM. The key service also evaluates policies, derives a key for
 * each message, and has an audit record on disk before each answer.
 *
 *   npm run build && node bench/dist/key-service.js [SECONDS] [http|https] [second|each]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openClient } from './support/kms-connection.js';
import {
  credentials,
  type KmsTarget,
  measureKms,
  startBareKms,
  startKeyService,
  type Transport,
} from './support/kms-processes.js';
import { machine, table } from './support/machine.js';

const seconds = Number(process.argv[2] ?? 2);
const transports = (['http', 'https'] as const).filter((one) => (process.argv[3] ?? one) === one);
const signings = (['second', 'each'] as const).filter((one) => (process.argv[4] ?? one) === one);
const operations = ['Encrypt', 'Decrypt', 'GenerateDataKey'] as const;
const connectionCounts = [1, 16, 64] as const;
const folder = await mkdtemp(join(process.env['WAXSEAL_BENCH_DIR'] ?? tmpdir(), 'waxseal-kms-'));

async function createKey(target: KmsTarget): Promise<string> {
  const client = await openClient(target.endpoint, credentials);
  const { KeyMetadata } = await client.call('CreateKey', {});
  client.close();
  return (KeyMetadata as { readonly KeyId: string }).KeyId;
}

async function measureTransport(transport: Transport): Promise<void> {
  const dataDir = join(folder, transport);
  const waxseal = await startKeyService(dataDir, transport);
  const bare = await startBareKms(transport, dataDir);
  const rows: string[][] = [];
  try {
    const keyId = await createKey(waxseal);
    for (const sign of signings) {
      for (const operation of operations) {
        for (const connections of connectionCounts) {
          const settings = { operation, keyId, connections, warmUpSeconds: 0.5, seconds, sign };
          const ours = await measureKms(waxseal, settings);
          const floor = await measureKms(bare, settings);
          for (const [target, figures] of [
            [waxseal, ours],
            [bare, floor],
          ] as const) {
            rows.push([
              operation,
              sign,
              String(connections),
              target.name,
              `${figures.perSecond}/s`,
              `${figures.p50Ms} ms`,
              `${figures.p99Ms} ms`,
              `${figures.serverMicrosPerCall} µs`,
              (ours.perSecond / figures.perSecond).toFixed(2),
            ]);
          }
        }
      }
    }
  } finally {
    await bare.stop();
    await waxseal.stop();
  }
  console.log(`\n${transport}`);
  console.log(
    table(
      [
        'operation',
        'signature per',
        'connections',
        'server',
        'throughput',
        'p50',
        'p99',
        'server CPU a call',
        'waxseal ÷ this',
      ],
      rows,
    ),
  );
}

console.log(`${machine()}; load generator and server share the machine; ${seconds} s each`);
try {
  for (const transport of transports) await measureTransport(transport);
} finally {
  await rm(folder, { recursive: true, force: true });
}
