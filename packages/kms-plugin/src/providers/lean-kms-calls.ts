/**
 * AWS's KMS protocol (JSON 1.1 over HTTPS, Signature Version 4) with as little as possible around it.
 *
 * The SDK costs 100 ms to load and 0.6 ms of CPU a call; a cold start of an API server waits for both. Here the
 * signature comes from the SDK's own signer and the connections from node:https.
 */
import type { SignatureV4 } from '@smithy/signature-v4';
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { classifyAws, garbledAnswer } from './aws-errors.js';
import { answerMaxBytes, type AwsKmsCalls } from './aws-kms-calls.js';
import { readCaFile, type AwsCredentials } from './aws-sdk-calls.js';
import { parseEndpoint } from './endpoint.js';

export interface LeanKmsOptions {
  /** `https://host[:port]`; plain http only to this machine. */
  readonly endpoint: string;
  readonly region: string;
  /** Asked again after `reload`, and after the service refused what it gave. */
  readonly credentials: () => Promise<AwsCredentials>;
  /** PEM file; the system's CAs otherwise. */
  readonly caFile?: string;
}

type Fields = Readonly<Record<string, unknown>>;

const socketsMax = 128;

/** @throws KmsPluginError `invalid_options` */
export function createLeanKmsCalls(options: LeanKmsOptions): AwsKmsCalls {
  const endpoint = parseEndpoint(options.endpoint);
  let connecting: Promise<Connection> | undefined;
  let credentials: Promise<AwsCredentials> | undefined;

  // Loaded with the first call: who only might need it does not wait for it.
  const loadSigner = async (): Promise<SignatureV4> => {
    const { SignatureV4 } = await import('@smithy/signature-v4');
    return new SignatureV4({
      service: 'kms',
      region: options.region,
      sha256: NodeSha256,
      credentials: () => remembered(),
    });
  };
  let signing: Promise<SignatureV4> | undefined;
  const remembered = (): Promise<AwsCredentials> =>
    (credentials ??= options.credentials().catch((error: unknown) => {
      credentials = undefined;
      throw error;
    }));
  const connected = (): Promise<Connection> =>
    (connecting ??= connect(endpoint, options.caFile).catch((error: unknown) => {
      connecting = undefined;
      throw error;
    }));

  const attempt = async (action: string, body: string, signal: AbortSignal): Promise<Fields> => {
    const connection = await connected();
    const signer = await (signing ??= loadSigner());
    const signed = await signer.sign({
      method: 'POST',
      protocol: endpoint.protocol,
      hostname: endpoint.hostname,
      path: '/',
      headers: {
        host: endpoint.host,
        'content-type': 'application/x-amz-json-1.1',
        'content-length': String(Buffer.byteLength(body)),
        'x-amz-target': `TrentService.${action}`,
      },
      body,
    });
    const { status, text } = await connection.post(signed.headers, body, signal);
    const answer = parseAnswer(text, status);
    if (status === 200) return answer;
    throw classifyAws(serviceError(answer), status);
  };

  const call = async (action: string, fields: Fields, signal: AbortSignal): Promise<Fields> => {
    const body = JSON.stringify(fields);
    try {
      return await attempt(action, body, signal);
    } catch (error) {
      const failed = classifyAws(error);
      if (failed.failure.code === 'unauthenticated') credentials = undefined;
      if (failed.reason !== 'ECONNRESET' || signal.aborted) throw failed;
    }
    // A connection that was closed while idle says nothing of the service. All other retries are the plugin's.
    try {
      return await attempt(action, body, signal);
    } catch (error) {
      throw classifyAws(error);
    }
  };

  return {
    encrypt: async ({ keyId, plaintext, encryptionContext }, signal) => {
      const answer = await call(
        'Encrypt',
        { KeyId: keyId, Plaintext: plaintext.toString('base64'), ...contextField(encryptionContext) },
        signal,
      );
      return { ciphertextBlob: bytesField(answer, 'CiphertextBlob', 1), keyId: textField(answer, 'KeyId') };
    },
    decrypt: async ({ ciphertextBlob, encryptionContext }, signal) => {
      const answer = await call(
        'Decrypt',
        { CiphertextBlob: ciphertextBlob.toString('base64'), ...contextField(encryptionContext) },
        signal,
      );
      return { plaintext: bytesField(answer, 'Plaintext', 0), keyId: textField(answer, 'KeyId') };
    },
    describeKey: async (keyId, signal) => {
      const { KeyMetadata } = await call('DescribeKey', { KeyId: keyId }, signal);
      if (typeof KeyMetadata !== 'object' || KeyMetadata === null)
        throw garbledAnswer('answer lacks KeyMetadata');
      const fields = KeyMetadata as Fields;
      return {
        keyState: textField(fields, 'KeyState'),
        multiRegion: fields['MultiRegion'] === true,
        // AWS JSON 1.1 sends dates as seconds with a fraction.
        ...numberField(fields, 'DeletionDate', 'deletionDateMs', 1000),
        ...numberField(fields, 'ValidTo', 'validToMs', 1000),
        ...numberField(fields, 'PendingDeletionWindowInDays', 'pendingDeletionWindowInDays', 1),
      };
    },
    reload: async () => {
      const old = connecting;
      const fresh = connect(endpoint, options.caFile);
      const freshCredentials = options.credentials();
      await Promise.all([fresh, freshCredentials]);
      connecting = fresh;
      credentials = freshCredentials;
      (await old?.catch(() => undefined))?.close();
    },
    close: () => {
      void connecting?.then(
        (connection) => {
          connection.close();
          return undefined;
        },
        () => undefined,
      );
      connecting = undefined;
    },
  };
}

interface Connection {
  post(
    headers: Readonly<Record<string, string>>,
    body: string,
    signal: AbortSignal,
  ): Promise<{ readonly status: number; readonly text: string }>;
  close(): void;
}

async function connect(endpoint: URL, caFile: string | undefined): Promise<Connection> {
  const ca = caFile === undefined ? undefined : await readCaFile(caFile);
  const tls = endpoint.protocol === 'https:';
  const pool = { keepAlive: true, maxSockets: socketsMax };
  const agent = tls ? new HttpsAgent({ ...pool, ...(ca === undefined ? {} : { ca }) }) : new HttpAgent(pool);
  const request = tls ? httpsRequest : httpRequest;
  return {
    close: () => {
      agent.destroy();
    },
    post: (headers, body, signal) =>
      new Promise((resolve, reject) => {
        const sent = request(
          {
            method: 'POST',
            path: '/',
            hostname: endpoint.hostname.replace(/^\[|\]$/g, ''),
            port: endpoint.port === '' ? undefined : endpoint.port,
            headers,
            agent,
          },
          (answer) => {
            readAnswer(answer, (error, text) => {
              signal.removeEventListener('abort', onAbort);
              if (error === undefined) resolve({ status: answer.statusCode ?? 0, text });
              else reject(error);
            });
          },
        );
        // Given to request(), the signal would cost several listeners a call.
        const onAbort = (): void => {
          sent.destroy(Object.assign(new Error('the caller gave up'), { name: 'AbortError' }));
        };
        sent.on('error', (error) => {
          signal.removeEventListener('abort', onAbort);
          reject(error);
        });
        if (signal.aborted) onAbort();
        else signal.addEventListener('abort', onAbort);
        sent.end(body);
      }),
  };
}

function readAnswer(answer: IncomingMessage, done: (error: Error | undefined, text: string) => void): void {
  const chunks: Buffer[] = [];
  let total = 0;
  answer.on('data', (chunk: Buffer) => {
    total += chunk.length;
    chunks.push(chunk);
    if (total > answerMaxBytes) answer.destroy(garbledAnswer(`answer over ${answerMaxBytes} bytes`));
  });
  answer.on('error', (error) => done(error, ''));
  answer.on('end', () => done(undefined, Buffer.concat(chunks).toString('utf8')));
}

function parseAnswer(text: string, status: number): Fields {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch (cause) {
    // The parser's message would quote the answer.
    if (status === 200) throw garbledAnswer('answer is not JSON');
    throw classifyAws(new Error('not JSON', { cause: (cause as Error).name }), status);
  }
  if (typeof answer !== 'object' || answer === null) throw garbledAnswer('answer is not an object');
  return answer as Fields;
}

/** The `__type` of AWS's JSON errors, with or without a namespace in front. */
function serviceError(answer: Fields): Error {
  const type = answer['__type'];
  const error = new Error('the key service refused');
  if (typeof type === 'string') error.name = type.slice(type.lastIndexOf('#') + 1);
  return error;
}

function contextField(context: Readonly<Record<string, string>>): Fields {
  return Object.keys(context).length === 0 ? {} : { EncryptionContext: context };
}

function textField(answer: Fields, name: string): string {
  const value = answer[name];
  if (typeof value !== 'string' || value === '') throw garbledAnswer(`answer lacks ${name}`);
  return value;
}

/** Of an optional field: nothing, or `name` in another unit. */
function numberField<Name extends string>(
  answer: Fields,
  field: string,
  name: Name,
  factor: number,
): { [key in Name]?: number } {
  const value = answer[field];
  return typeof value === 'number' && Number.isFinite(value)
    ? ({ [name]: value * factor } as { [key in Name]?: number })
    : {};
}

function bytesField(answer: Fields, name: string, minBytes: number): Buffer {
  const value = answer[name];
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(value))
    throw garbledAnswer(`answer lacks ${name}`);
  const bytes = Buffer.from(value, 'base64');
  if (bytes.length < minBytes) throw garbledAnswer(`${name} in the answer is empty`);
  return bytes;
}

/** node:crypto behind the signer's interface. */
class NodeSha256 {
  readonly #secret: string | NodeJS.ArrayBufferView | undefined;
  #state: Hash | Hmac;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#secret =
      secret instanceof ArrayBuffer
        ? new Uint8Array(secret)
        : (secret as string | NodeJS.ArrayBufferView | undefined);
    this.#state = this.#fresh();
  }

  #fresh(): Hash | Hmac {
    return this.#secret === undefined ? createHash('sha256') : createHmac('sha256', this.#secret);
  }

  update(chunk: Uint8Array): void {
    this.#state.update(chunk);
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#state.digest());
  }

  reset(): void {
    this.#state = this.#fresh();
  }
}
