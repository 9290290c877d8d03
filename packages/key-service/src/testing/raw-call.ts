/** Requests no SDK would send, signed all the same. */
import { createHash, createHmac } from 'node:crypto';
import { request } from 'node:https';
import { formatTimestamp } from '../sigv4/authorization.js';
import { deriveSigningKey } from '../sigv4/verifier.js';
import { REGION, SECRET, type TestService, type UserName } from './harness.js';

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface RawCall {
  readonly body: string | Buffer;
  readonly action?: string;
  readonly method?: string;
  readonly path?: string;
  /** Undefined takes a header out. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly service?: string;
  readonly signed?: boolean;
  readonly user?: UserName;
  /** Default: the tests' Region. */
  readonly region?: string;
}

export function rawCall(kms: TestService, call: RawCall): Promise<RawAnswer> {
  const { body, action = 'ListKeys', method = 'POST', path = '/', service = 'kms', signed = true } = call;
  const headers: Record<string, string> = {};
  const wanted: Readonly<Record<string, string | undefined>> = {
    host: `127.0.0.1:${kms.service.port}`,
    'content-type': 'application/x-amz-json-1.1',
    'x-amz-target': `TrentService.${action}`,
    'x-amz-date': formatTimestamp(Date.now()),
    ...call.headers,
  };
  for (const [name, value] of Object.entries(wanted)) if (value !== undefined) headers[name] = value;
  if (signed)
    headers['authorization'] = authorization(
      call.user ?? 'admin',
      { service, region: call.region ?? REGION },
      method,
      path,
      headers,
      body,
    );
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port: kms.service.port, ca: kms.ca, method, path, headers, agent: false },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            body: Buffer.concat(chunks).toString(),
          }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function authorization(
  user: string,
  { service, region }: { readonly service: string; readonly region: string },
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string | Buffer,
): string {
  const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');
  const names = Object.keys(headers).toSorted();
  const timestamp = headers['x-amz-date'] ?? '';
  const day = timestamp.slice(0, 8);
  const scope = `${day}/${region}/${service}/aws4_request`;
  const [uri, query = ''] = path.split('?');
  const canonicalHeaders = names.map((name) => `${name}:${headers[name] ?? ''}\n`).join('');
  const canonical = `${method}\n${uri}\n${query}\n${canonicalHeaders}\n${names.join(';')}\n${sha256(body)}`;
  const signature = createHmac('sha256', deriveSigningKey(SECRET, day, region, service))
    .update(`AWS4-HMAC-SHA256\n${timestamp}\n${scope}\n${sha256(canonical)}`)
    .digest('hex');
  return `AWS4-HMAC-SHA256 Credential=${user}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
}
