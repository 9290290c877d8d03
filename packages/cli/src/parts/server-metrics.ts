/** `/metrics` of API servers, over TLS that is always verified. */
import { readFileSync } from 'node:fs';
import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { CliError, exitCodes } from '../errors.js';

export interface MetricsAccess {
  readonly serverCa?: string;
  readonly serverTokenFile?: string;
  readonly serverCert?: string;
  readonly serverKey?: string;
}

const TIMEOUT_MS = 10_000;
/** A large cluster's are some megabytes. */
const MAX_BYTES = 64 << 20;

export function createMetricsReader(
  { serverCa, serverTokenFile, serverCert, serverKey }: MetricsAccess,
  signal: AbortSignal,
): (server: string) => Promise<string> {
  if ((serverCert === undefined) !== (serverKey === undefined)) {
    throw new CliError(
      '--server-cert and --server-key belong together',
      'Give both or neither.',
      exitCodes.usage,
    );
  }
  const tls = {
    ...(serverCa === undefined ? {} : { ca: readFileSync(serverCa) }),
    ...(serverCert === undefined ? {} : { cert: readFileSync(serverCert) }),
    ...(serverKey === undefined ? {} : { key: readFileSync(serverKey) }),
  };
  return (server) => {
    const url = new URL('/metrics', server);
    if (serverTokenFile !== undefined && url.protocol !== 'https:') {
      return Promise.reject(new Error('a token is sent over https only'));
    }
    // Read each time: service account tokens are renewed in place.
    const token = serverTokenFile === undefined ? undefined : readFileSync(serverTokenFile, 'utf8').trim();
    return get(url, {
      ...tls,
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      headers: { accept: 'text/plain', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    });
  };
}

function get(url: URL, options: RequestOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'https:' ? httpsRequest(url, options) : httpRequest(url, options);
    request.on('error', reject);
    request.on('response', (response) => {
      if (response.statusCode !== 200) {
        response.resume();
        reject(
          new Error(
            `it answered ${response.statusCode}${response.statusCode === 403 ? ': grant get on /metrics' : ''}`,
          ),
        );
        return;
      }
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_BYTES) request.destroy(new Error(`its metrics are larger than ${MAX_BYTES} bytes`));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    });
    request.end();
  });
}
