/** Requests to one API server: JSON answers up to a limit, kept connections, patience while it is busy or away. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Clock } from '@waxseal/encryption-config';
import { errorMessage } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import { sleep } from '../rewrap/store-patience.js';
import type { ApiServerAccess } from './kubeconfig.js';

interface ApiRequest {
  readonly method: 'GET' | 'PATCH';
  /** With its query. */
  readonly path: string;
  readonly accept?: string;
  /** JSON, which is YAML too. */
  readonly apply?: unknown;
}

export interface ApiAnswer {
  readonly status: number;
  /** The object or the Status; empty when the body is no JSON object. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface ApiClient {
  /**
   * Waits and repeats while the server is busy (429), away (502 to 504) or cannot be reached; every other answer is returned, an internal error
   * (500) after some repetitions: it may be one object's.
   *
   * @throws OpsError source-unreadable when that lasts, or for 401 and 403
   */
  send(request: ApiRequest): Promise<ApiAnswer>;
  close(): void;
}

export interface ApiClientOptions {
  readonly access: ApiServerAccess;
  readonly connections: number;
  readonly outageMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const REQUEST_TIMEOUT_MS = 60_000;
/** A page of 500 objects' metadata is far below it. */
const MAX_ANSWER_BYTES = 64 << 20;
const FIRST_DELAY_MS = 200;
const MAX_DELAY_MS = 5_000;
const INTERNAL_ERROR_ATTEMPTS = 3;

export function createApiClient(options: ApiClientOptions): ApiClient {
  const { access, connections, outageMs, clock, signal } = options;
  const { server, ca, cert, key, token } = access;
  const secure = server.protocol === 'https:';
  const agentOptions = { keepAlive: true, maxSockets: connections };
  const agent = secure
    ? new HttpsAgent({ ...agentOptions, ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) })
    : new HttpAgent(agentOptions);
  const base = server.pathname.replace(/\/$/, '');

  const once = ({
    method,
    path,
    accept,
    apply,
  }: ApiRequest): Promise<ApiAnswer & { readonly waitMs: number }> =>
    new Promise((resolve, reject) => {
      const body = apply === undefined ? undefined : JSON.stringify(apply);
      const headers = {
        accept: accept ?? 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/apply-patch+yaml', 'content-length': Buffer.byteLength(body) }),
      };
      const send = secure ? httpsRequest : httpRequest;
      const sent = send(new URL(`${base}${path}`, server), {
        method,
        headers,
        agent,
        timeout: REQUEST_TIMEOUT_MS,
      });
      sent.on('timeout', () => sent.destroy(new Error(`no answer in ${REQUEST_TIMEOUT_MS / 1000} s`)));
      sent.on('error', reject);
      sent.on('response', (answer) => {
        readBody(answer).then(
          (text) =>
            resolve({
              status: answer.statusCode ?? 0,
              body: parseObject(text),
              waitMs: 1000 * (Number(answer.headers['retry-after']) || 0),
            }),
          reject,
        );
      });
      sent.end(body);
    });

  return {
    async send(request) {
      const endMs = clock.monotonicMs() + outageMs;
      for (
        let attempt = 1, delayMs = FIRST_DELAY_MS;
        ;
        attempt++, delayMs = Math.min(2 * delayMs, MAX_DELAY_MS)
      ) {
        let waitMs = delayMs;
        let said: string;
        try {
          const { waitMs: asked, ...answer } = await once(request);
          if (answer.status === 401 || answer.status === 403) throw refused(server, answer);
          const internal = answer.status === 500;
          if (internal ? attempt >= INTERNAL_ERROR_ATTEMPTS : answer.status !== 429 && answer.status < 500)
            return answer;
          waitMs = Math.max(delayMs, Math.min(asked, MAX_DELAY_MS));
          said = `${answer.status} ${messageOf(answer)}`;
        } catch (error) {
          if (error instanceof OpsError) throw error;
          said = errorMessage(error);
        }
        if (signal.aborted || clock.monotonicMs() + waitMs >= endMs) {
          throw new OpsError('source-unreadable', `the API server ${server.host} does not answer: ${said}`);
        }
        await sleep(clock, waitMs, signal);
      }
    },
    close: () => agent.destroy(),
  };
}

/** What a Status says. */
export function messageOf({ body }: ApiAnswer): string {
  return typeof body['message'] === 'string' ? body['message'] : '';
}

function refused(server: URL, answer: ApiAnswer): OpsError {
  return new OpsError(
    'source-unreadable',
    `the API server ${server.host} refuses: ${messageOf(answer) || answer.status}. Rewrapping needs the verbs list and patch on each resource.`,
  );
}

async function readBody(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw new Error(`an answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parseObject(text: string): ApiAnswer['body'] {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as ApiAnswer['body']) : {};
  } catch {
    return {};
  }
}
