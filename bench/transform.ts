/**
 * How fast values are sealed and opened: KMS v2 of 1 KiB (write, cold-info read, repeated read) and the other
 * providers, beside a bare `node:crypto` AES-256-GCM in the same run. "as served" is the same value through
 * `createEncryptionAtRest`, as the API server does it: rules, dispatch, metrics and reload included.
 *
 * Run: `npx tsc -b bench && node bench/dist/transform.js`. Rounds of all cases alternate, so that a noisy neighbour
 * hits each alike; each begins with the garbage of the one before collected; the medians of the rounds are compared. One core; no I/O; the KMS answers from memory once.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createEncryptionAtRest } from '@waxseal/encryption-config';
import {
  createAesCbcTransformer,
  createAesGcmTransformer,
  createKmsV2Transformer,
  createKmsV2WriteState,
  createPrefixTransformer,
  createSecretboxTransformer,
  newRequestUid,
  SEED_BYTES,
  type MaybePromise,
  type Opened,
  type Transformer,
} from '@waxseal/envelope';

const VALUE_BYTES = 1024;
const VALUES = 4096;
const ROUNDS = 9;
const ROUND_MS = 150;
/** Operations between two looks at the clock; their mean is one sample. */
const BATCH = 16;

interface Case {
  readonly name: string;
  readonly run: (i: number) => void;
  readonly perSecond: number[];
  /** Per second of CPU time of the whole process, garbage collection included: what a busy machine leaves alone. */
  readonly perCpuSecond: number[];
  readonly sampleMicros: number[];
}

function now<T>(result: MaybePromise<T>): T {
  if (result instanceof Promise) throw new Error('the hot path waited for something');
  return result;
}

const values = Array.from({ length: VALUES }, () => randomBytes(VALUE_BYTES));
const storageKeys = values.map((_, i) => Buffer.from(`/registry/secrets/default/benchmark-secret-${i}`));
const dataOf = (i: number): Buffer => values[i % VALUES] as Buffer;
const keyOf = (i: number): Buffer => storageKeys[i % VALUES] as Buffer;

const seed = randomBytes(SEED_BYTES);
const state = createKmsV2WriteState({
  seed: Buffer.from(seed),
  keyId: 'arn:aws:kms:eu-central-1:000000000000:key/5e0f2f6c-6f3e-4f8e-9a55-0d8a4a1d1c11',
  encryptedDekSource: randomBytes(184),
  annotations: {},
  uid: newRequestUid(randomBytes),
  expiresAtMs: Number.MAX_SAFE_INTEGER,
});
const kmsV2 = (maxDerivedKeys: number): Transformer =>
  createPrefixTransformer({
    transformers: [
      {
        prefix: 'k8s:enc:kms:v2:bench:',
        transformer: createKmsV2Transformer({
          service: { decrypt: () => Promise.resolve(Buffer.from(seed)) },
          getState: () => state,
          randomBytes,
          nowMs: Date.now,
          maxDerivedKeys,
        }),
      },
    ],
  });
const writer = kmsV2(0);
/** Never holds a derived key: every read derives one, as the first read of a value does. */
const coldReader = kmsV2(0);
const warmReader = kmsV2(VALUES);
const storedKmsV2 = values.map((value, i) => now(writer.transformToStorage(value, keyOf(i))));
for (const reader of [coldReader, warmReader]) {
  for (let i = 0; i < VALUES; i++) await reader.transformFromStorage(storedKmsV2[i] as Buffer, keyOf(i));
}

/** The KMS of the whole path: "wraps" by handing back. */
const folder = await mkdtemp(join(tmpdir(), 'waxseal-bench-'));
const file = join(folder, 'encryption-config.yaml');
await writeFile(
  file,
  `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: ['*.*']
  providers:
  - kms: {apiVersion: v2, name: bench, endpoint: 'unix:///bench'}
  - identity: {}
`,
);
const atRest = await createEncryptionAtRest({
  file,
  automaticReload: true,
  connectors: {
    connectKmsV1: () => {
      throw new Error('not configured');
    },
    connectKmsV2: () => ({
      status: () => Promise.resolve({ version: 'v2', healthz: 'ok', keyId: state.keyId }),
      encrypt: (_uid, plaintext) =>
        Promise.resolve({ ciphertext: Buffer.from(plaintext), keyId: state.keyId, annotations: {} }),
      decrypt: (_uid, request) => Promise.resolve(Buffer.from(request.ciphertext)),
      close: () => undefined,
    }),
  },
});
await rm(folder, { recursive: true });
const served = atRest.transformerFor({ group: '', resource: 'secrets' });
const storedServed = values.map((value, i) => now(served.transformToStorage(value, keyOf(i))));

const bareKey = randomBytes(32);
const bareSeal = (data: Buffer, authenticatedData: Buffer): Buffer => {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', bareKey, nonce).setAAD(authenticatedData);
  return Buffer.concat([nonce, cipher.update(data), cipher.final(), cipher.getAuthTag()]);
};
const bareOpen = (sealed: Buffer, authenticatedData: Buffer): Buffer => {
  const decipher = createDecipheriv('aes-256-gcm', bareKey, sealed.subarray(0, 12))
    .setAAD(authenticatedData)
    .setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
};
const storedBare = values.map((value, i) => bareSeal(value, keyOf(i)));

const staticProviders = {
  aesgcm: createAesGcmTransformer({ key: bareKey, randomBytes }),
  aescbc: createAesCbcTransformer({ key: bareKey, randomBytes }),
  secretbox: createSecretboxTransformer({ key: bareKey, randomBytes }),
};

const cases: Case[] = [];
const add = (name: string, run: (i: number) => void): void => {
  cases.push({ name, run, perSecond: [], perCpuSecond: [], sampleMicros: [] });
};
const check = (opened: MaybePromise<Opened>): void => {
  if (now(opened).data.length !== VALUE_BYTES) throw new Error('opened to something else');
};
add('bare AES-256-GCM seal', (i) => void bareSeal(dataOf(i), keyOf(i)));
add('KMS v2 write', (i) => void now(writer.transformToStorage(dataOf(i), keyOf(i))));
add('bare AES-256-GCM open', (i) => void bareOpen(storedBare[i % VALUES] as Buffer, keyOf(i)));
add('KMS v2 cold-info read', (i) =>
  check(coldReader.transformFromStorage(storedKmsV2[i % VALUES] as Buffer, keyOf(i))),
);
add('KMS v2 repeated read', (i) =>
  check(warmReader.transformFromStorage(storedKmsV2[i % VALUES] as Buffer, keyOf(i))),
);
add('KMS v2 write, as served', (i) => void now(served.transformToStorage(dataOf(i), keyOf(i))));
add('KMS v2 read, as served', (i) =>
  check(served.transformFromStorage(storedServed[i % VALUES] as Buffer, keyOf(i))),
);
for (const [name, transformer] of Object.entries(staticProviders)) {
  const stored = values.map((value, i) => now(transformer.transformToStorage(value, keyOf(i))));
  add(`${name} write`, (i) => void now(transformer.transformToStorage(dataOf(i), keyOf(i))));
  add(`${name} read`, (i) => check(transformer.transformFromStorage(stored[i % VALUES] as Buffer, keyOf(i))));
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function round(
  one: Case,
  durationMs: number,
): { readonly perSecond: number; readonly perCpuSecond: number; readonly micros: number[] } {
  const micros: number[] = [];
  collectGarbage();
  const cpuStart = process.cpuUsage();
  const start = process.hrtime.bigint();
  const end = start + BigInt(durationMs) * 1_000_000n;
  let i = 0;
  let mark = start;
  while (mark < end) {
    for (const stop = i + BATCH; i < stop; i++) one.run(i);
    const next = process.hrtime.bigint();
    micros.push(Number(next - mark) / 1000 / BATCH);
    mark = next;
  }
  const cpu = process.cpuUsage(cpuStart);
  return {
    perSecond: (i * 1e9) / Number(mark - start),
    perCpuSecond: (i * 1e6) / (cpu.user + cpu.system),
    micros,
  };
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

for (const one of cases) round(one, ROUND_MS);
for (let r = 0; r < ROUNDS; r++) {
  for (const one of cases) {
    const { perSecond, perCpuSecond, micros } = round(one, ROUND_MS);
    one.perSecond.push(perSecond);
    one.perCpuSecond.push(perCpuSecond);
    one.sampleMicros.push(...micros);
  }
}

const middle = (numbers: readonly number[]): number =>
  quantile(
    numbers.toSorted((a, b) => a - b),
    0.5,
  );
const median = (one: Case): number => middle(one.perSecond);
const bare = (name: string): number => {
  const peer = cases.find((one) => one.name === name);
  return peer === undefined ? Number.NaN : median(peer);
};
const sealPeer = bare('bare AES-256-GCM seal');
const openPeer = bare('bare AES-256-GCM open');

console.log(`node ${process.version}, ${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} CPUs`);
console.log(`${VALUE_BYTES} bytes a value, ${VALUES} values, median of ${ROUNDS} rounds of ${ROUND_MS} ms`);
console.log(
  `${'case'.padEnd(26)}${'ops/s'.padStart(10)}${'ops/cpu s'.padStart(11)}${'p50 us'.padStart(9)}${'p99 us'.padStart(9)}${'x bare'.padStart(9)}`,
);
for (const one of cases) {
  const sorted = one.sampleMicros.toSorted((a, b) => a - b);
  const perSecond = median(one);
  const peer = /write| seal/.test(one.name) ? sealPeer : openPeer;
  console.log(
    one.name.padEnd(26) +
      perSecond.toFixed(0).padStart(10) +
      middle(one.perCpuSecond).toFixed(0).padStart(11) +
      quantile(sorted, 0.5).toFixed(2).padStart(9) +
      quantile(sorted, 0.99).toFixed(2).padStart(9) +
      (perSecond / peer).toFixed(2).padStart(9),
  );
}
await atRest.close();
