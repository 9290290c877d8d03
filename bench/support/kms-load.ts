/**
 * The load generator for key services, run as a process of its own: closed loop, one request under way per connection.
 *
 *   node kms-load.js < KmsLoad as JSON
 *
 * Prints one JSON line: KmsFigures. Every request is signed: with `sign: "second"` a body is signed once a second (SigV4
 * counts in seconds, so clients' equal requests have equal signatures), with `"each"` no two requests share a signature.
 */
import { readFileSync } from 'node:fs';
import { KmsConnection, openClient } from './kms-connection.js';
import type { KmsFigures, KmsLoad } from './kms-figures.js';
import { processorMs } from './processor-time.js';
import { createSigner, signable, type SignableBody, timestampOf } from './sigv4.js';

const load = JSON.parse(readFileSync(0, 'utf8')) as KmsLoad;
const { endpoint, credentials, operation, connections } = load;
const distinctBodies = 64;
const warmUpMs = load.warmUpSeconds * 1000;
const sign = createSigner(new URL(endpoint.url).host, credentials);

async function createBodies(): Promise<readonly SignableBody[]> {
  if (load.bodies !== undefined) return load.bodies.map(signable);
  const context = { EncryptionContext: { purpose: 'bench', cluster: 'a' } };
  const client = await openClient(endpoint, credentials);
  const bodies: SignableBody[] = [];
  for (let i = 0; i < distinctBodies; i++) {
    const encryption = { KeyId: load.keyId, Plaintext: Buffer.alloc(32, i).toString('base64'), ...context };
    if (operation === 'Encrypt') bodies.push(signable(encryption));
    else if (operation === 'Decrypt') {
      const { CiphertextBlob } = await client.call('Encrypt', encryption);
      bodies.push(signable({ CiphertextBlob, ...context }));
    } else bodies.push(signable({ KeyId: load.keyId, KeySpec: 'AES_256', ...context }));
  }
  client.close();
  return bodies;
}

const bodies = await createBodies();
const signed = new Map<SignableBody, { readonly timestamp: string; readonly request: Buffer }>();
let timestamp = timestampOf(Date.now());
const clock = setInterval(() => (timestamp = timestampOf(Date.now())), 200);
let sent = 0;

function nextRequest(): Buffer {
  const body = bodies[sent++ % bodies.length] as SignableBody;
  if (load.sign === 'each') return sign(operation, body, timestamp, `n-${sent}`);
  const known = signed.get(body);
  if (known?.timestamp === timestamp) return known.request;
  const request = sign(operation, body, timestamp);
  signed.set(body, { timestamp, request });
  return request;
}

const latencies: number[] = [];
let failures = 0;
let firstFailure = '';
let measuring = false;
let stopped = false;

/** Resolves when the connection has answered its last request. */
function drive(connection: KmsConnection): Promise<void> {
  return new Promise((resolve) => {
    const step = (): void => {
      if (stopped || (load.calls !== undefined && sent >= load.calls)) {
        connection.close();
        resolve();
        return;
      }
      const sentAt = performance.now();
      connection.send(nextRequest(), (status, body) => {
        if (status !== 200) {
          failures++;
          firstFailure ||= `${status} ${body.toString()}`;
          if (status === 0) stopped = true;
        } else if (measuring) latencies.push(performance.now() - sentAt);
        step();
      });
    };
    step();
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const open = await Promise.all(Array.from({ length: connections }, () => KmsConnection.open(endpoint)));
const driven = Promise.all(open.map(drive));
if (load.calls === undefined) await pause(warmUpMs);
measuring = true;
const startedAt = performance.now();
const processorBefore = processorMs(load.pid);
if (load.calls === undefined) {
  await pause(load.seconds * 1000);
  stopped = true;
}
await driven;
const seconds = (performance.now() - startedAt) / 1000;
const processor = processorMs(load.pid) - processorBefore;
clearInterval(clock);
latencies.sort((a, b) => a - b);
const quantile = (q: number): number =>
  Number((latencies[Math.floor(latencies.length * q)] ?? NaN).toFixed(2));
const figures: KmsFigures = {
  perSecond: Math.round(latencies.length / seconds),
  p50Ms: quantile(0.5),
  p99Ms: quantile(0.99),
  failures,
  firstFailure,
  serverMicrosPerCall: Math.round((processor * 1000) / Math.max(1, latencies.length)),
};
console.log(JSON.stringify(figures));
