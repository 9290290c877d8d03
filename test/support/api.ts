/** A bare HTTPS client for the Kubernetes API, for what kubectl cannot send or count. */
import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';
import type { UpReady } from './waxseal.js';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface Api {
  call(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answer>;
  close(): void;
}

/** Authenticates with the administrator's bearer token. `body` is sent as JSON, or as it is when it is a Buffer. */
export function apiOf(ready: UpReady, connections = 64): Api {
  const agent = new Agent({ keepAlive: true, maxSockets: connections, ca: readFileSync(ready.caFile) });
  const token = readFileSync(ready.tokenFile, 'utf8').split(',')[0] as string;
  return {
    call: (method, path, body, headers = {}) =>
      new Promise((resolve, reject) => {
        const payload =
          body === undefined ? undefined : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
        const outgoing = request(
          new URL(path, ready.apiServer),
          {
            method,
            agent,
            headers: {
              authorization: `Bearer ${token}`,
              ...(payload === undefined
                ? {}
                : { 'content-type': 'application/json', 'content-length': payload.length }),
              ...headers,
            },
          },
          (incoming) => {
            const chunks: Buffer[] = [];
            incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
            incoming.on('error', reject);
            incoming.on('end', () =>
              resolve({
                status: incoming.statusCode ?? 0,
                headers: incoming.headers,
                text: Buffer.concat(chunks).toString('utf8'),
              }),
            );
          },
        );
        outgoing.on('error', reject);
        outgoing.end(payload);
      }),
    close: () => agent.destroy(),
  };
}

export const secret = (name: string, data: Readonly<Record<string, string>>) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name },
  data: Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  ),
});
