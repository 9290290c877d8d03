/**
 * The load generator, run as a process of its own: closed loop, one request under way per connection, keep-alive TLS.
 *
 *   node load.js BASE_URL OPERATION CONNECTIONS SECONDS TOKEN      OPERATION: create | get | update | list
 *
 * Prints one JSON line: {operation, connections, perSecond, p50Ms, p99Ms, failures}.
 */
import { Agent, request } from 'node:https';

const [base = '', operation = '', connectionText = '', secondText = '', token = ''] = process.argv.slice(2);
const connections = Number(connectionText);
const endsAt = () => performance.now() > deadline;
const path = '/api/v1/namespaces/default/secrets';
const run = Math.random().toString(36).slice(2, 8);
const data = { k: Buffer.alloc(256, 7).toString('base64') };
const agent = new Agent({ keepAlive: true, maxSockets: connections, rejectUnauthorized: false });
let deadline = Infinity;

function send(method: string, target: string, body?: unknown): Promise<number> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const outgoing = request(
      base + target,
      {
        method,
        agent,
        headers: {
          authorization: `Bearer ${token}`,
          accept: 'application/json',
          ...(payload && { 'content-type': 'application/json', 'content-length': payload.length }),
        },
      },
      (incoming) => {
        incoming.resume();
        incoming.once('end', () => resolve(incoming.statusCode ?? 0));
      },
    );
    outgoing.once('error', reject);
    outgoing.end(payload);
  });
}

const secret = (name: string, labels?: Record<string, string>) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: 'default', ...(labels && { labels }) },
  data,
});

const operations: Record<string, (i: number) => Promise<number>> = {
  create: (i) => send('POST', path, secret(`s-${run}-${i}`)),
  get: () => send('GET', `${path}/bench-0`),
  update: (i) =>
    send('PUT', `${path}/bench-${i % connections}`, secret(`bench-${i % connections}`, { i: String(i) })),
  list: () => send('GET', `${path}?limit=500`),
};

const operate = operations[operation];
if (operate === undefined) throw new Error(`unknown operation '${operation}'`);
for (let i = 0; i < connections; i++) await send('POST', path, secret(`bench-${i}`));

const latencies: number[] = [];
let next = 0;
let failures = 0;
const startedAt = performance.now();
deadline = startedAt + Number(secondText) * 1000;
await Promise.all(
  Array.from({ length: connections }, async () => {
    while (!endsAt()) {
      const sentAt = performance.now();
      const status = await operate(next++).catch(() => 0);
      if (status >= 200 && status < 300) latencies.push(performance.now() - sentAt);
      else failures++;
    }
  }),
);
const seconds = (performance.now() - startedAt) / 1000;
latencies.sort((a, b) => a - b);
const quantile = (q: number) => Number((latencies[Math.floor(latencies.length * q)] ?? NaN).toFixed(2));
console.log(
  JSON.stringify({
    operation,
    connections,
    perSecond: Math.round(latencies.length / seconds),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    failures,
  }),
);
agent.destroy();
