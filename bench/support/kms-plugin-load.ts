/**
 * The load generator for KMS plugins, run as a process of its own: one HTTP/2 connection, as an API server keeps, a closed
 * loop, requests that were encoded before. Bare node:http2: a gRPC client costs several times what the server does.
 *
 *   node kms-plugin-load.js < PluginLoad as JSON
 *
 * Prints one JSON line: PluginFigures.
 */
import { readFileSync } from 'node:fs';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect } from 'node:net';
import { processorMs } from './processor-time.js';

export interface PluginLoad {
  readonly socketPath: string;
  /** `Status`, `Encrypt` or `Decrypt` of KMS v2. */
  readonly method: string;
  /** gRPC frames to send in turn, base64. */
  readonly frames: readonly string[];
  readonly inFlight: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** This many calls instead of some seconds. */
  readonly calls?: number;
  /** The server's process: its processor time is read before and after. */
  readonly pid: number;
}

export interface PluginFigures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failures: number;
  readonly firstFailure: string;
  /** Processor time of the server, all threads, for each answered call. */
  readonly serverMicrosPerCall: number;
}

const load = JSON.parse(readFileSync(0, 'utf8')) as PluginLoad;
const frames = load.frames.map((frame) => Buffer.from(frame, 'base64'));
const session = connectHttp2('http://localhost', {
  createConnection: () => connect(load.socketPath),
  settings: { enablePush: false },
});
const headers = {
  ':method': 'POST',
  ':path': `/v2.KeyManagementService/${load.method}`,
  'content-type': 'application/grpc',
  te: 'trailers',
  'grpc-timeout': '3S',
};

let sent = 0;
let failures = 0;
let firstFailure = '';
let stopped = false;
let measuring = false;
const latencies: number[] = [];

const call = (): Promise<void> =>
  new Promise((resolve) => {
    const stream = session.request(headers);
    let status = 'no trailers';
    const onHeaders = (got: IncomingHttpHeaders): void => {
      status = `${String(got['grpc-status'])} ${String(got['grpc-message'])}`;
    };
    stream.on('trailers', onHeaders);
    stream.on('response', onHeaders);
    stream.on('error', (error) => (status = String(error)));
    stream.resume();
    stream.on('close', () => {
      if (!status.startsWith('0')) {
        failures += 1;
        firstFailure ||= status;
      }
      resolve();
    });
    stream.end(frames[sent++ % frames.length]);
  });

async function worker(): Promise<void> {
  for (;;) {
    if (stopped || (load.calls !== undefined && sent >= load.calls)) return;
    const startedAt = performance.now();
    await call();
    if (measuring) latencies.push(performance.now() - startedAt);
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
measuring = load.calls !== undefined;
let startedAt = performance.now();
let processorBefore = processorMs(load.pid);
const workers = Array.from({ length: load.inFlight }, worker);
if (load.calls === undefined) {
  await sleep(load.warmUpSeconds * 1000);
  startedAt = performance.now();
  processorBefore = processorMs(load.pid);
  measuring = true;
  await sleep(load.seconds * 1000);
  stopped = true;
} else {
  await Promise.all(workers);
}
const answered = latencies.length;
const seconds = (performance.now() - startedAt) / 1000;
const processor = processorMs(load.pid) - processorBefore;
await Promise.all(workers);
session.close();
latencies.sort((a, b) => a - b);
const percentile = (share: number): number =>
  Math.round((latencies[Math.floor(latencies.length * share)] ?? NaN) * 1000) / 1000;
const figures: PluginFigures = {
  perSecond: Math.round(answered / seconds),
  p50Ms: percentile(0.5),
  p99Ms: percentile(0.99),
  failures,
  firstFailure,
  serverMicrosPerCall: Math.round((processor * 1000) / answered),
};
console.log(JSON.stringify(figures));
