/**
 * Time from exec to the first authenticated answer of `waxseal up` on a data directory with 10,000 secrets, and the
 * number of KMS Decrypt calls that answer and a full list cost; beside a bare Node TLS server's own start.
 *
 *   npm run build && node bench/dist/startup.js [SECRETS]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { readdirSync, readFileSync } from 'node:fs';
import { request, Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { machine, table } from './support/machine.js';
import { startBareServer, startWaxseal, type Target } from './support/processes.js';

const secrets = Number(process.argv[2] ?? 10_000);
const runs = 5;
const folder = await mkdtemp(join(process.env['WAXSEAL_BENCH_DIR'] ?? tmpdir(), 'waxseal-startup-'));
const dataDir = join(folder, 'data');
const path = '/api/v1/namespaces/default/secrets';

function call(target: Target, method: string, url: string, agent: Agent, body?: unknown): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${target.token}`, 'content-type': 'application/json' };
    const outgoing = request(
      target.url + url,
      { method, agent, headers, rejectUnauthorized: false },
      (incoming) => {
        incoming.resume();
        incoming.once('end', () => resolve(incoming.statusCode ?? 0));
      },
    );
    outgoing.once('error', reject);
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const newAgent = () => new Agent({ keepAlive: true, maxSockets: 64 });

async function fill(target: Target): Promise<void> {
  const agent = newAgent();
  let next = 0;
  await Promise.all(
    Array.from({ length: 64 }, async () => {
      for (let i = next++; i < secrets; i = next++) {
        const object = {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: `s-${i}` },
          data: { k: Buffer.alloc(256, i).toString('base64') },
        };
        const status = await call(target, 'POST', path, agent, object);
        if (status !== 201) throw new Error(`create answered ${status}`);
      }
    }),
  );
  agent.destroy();
}

/** Decrypt records in the audit trail so far. */
function decryptCalls(): number {
  const trail = join(dataDir, 'key-service');
  return readdirSync(trail, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.json.gz'))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)))
    .map((bytes) => (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString())
    .reduce((sum, text) => sum + text.split('"eventName":"Decrypt"').length - 1, 0);
}

async function firstAnswer(start: () => Promise<Target>): Promise<{ target: Target; ms: number }> {
  const startedAt = performance.now();
  const target = await start();
  const agent = newAgent();
  const status = await call(target, 'GET', `${path}/s-0`, agent);
  const ms = performance.now() - startedAt;
  agent.destroy();
  if (target.name === 'waxseal' && status !== 200) throw new Error(`the first answer was ${status}`);
  return { target, ms };
}

const milliseconds = (values: readonly number[]): string => values.map((value) => value.toFixed(0)).join(' ');

try {
  const first = await startWaxseal(dataDir);
  await fill(first);
  await first.stop();
  const before = decryptCalls();
  const ours: number[] = [];
  const bare: number[] = [];
  for (let i = 0; i < runs; i++) {
    const waxseal = await firstAnswer(() => startWaxseal(dataDir));
    ours.push(waxseal.ms);
    const agent = newAgent();
    await call(waxseal.target, 'GET', '/api/v1/secrets', agent);
    agent.destroy();
    await waxseal.target.stop();
    const peer = await firstAnswer(() => startBareServer(join(folder, 'bare'), dataDir));
    bare.push(peer.ms);
    await peer.target.stop();
  }
  const decrypts = decryptCalls() - before;
  console.log(`${machine()}; ${secrets} secrets stored; ${runs} cold starts each`);
  console.log(
    table(
      ['server', 'exec to first answer, ms'],
      [
        ['waxseal up (four services)', milliseconds(ours)],
        ['bare Node TLS + LMDB', milliseconds(bare)],
      ],
    ),
  );
  // One DEK source wrote everything; the plugin proves the key with an Encrypt and a Decrypt of its own when it starts.
  const perStart = (decrypts / runs).toFixed(1);
  console.log(
    `KMS Decrypt calls per start, a get and a full list included: ${perStart} (one is the plugin's own probe)`,
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}
