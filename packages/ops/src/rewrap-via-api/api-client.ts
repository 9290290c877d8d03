/** Requests to one API server: JSON answers up to a limit, kept connections, patience while it is busy or away. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Clock } from '@waxseal/encryption-config';
import { errorMessage } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import { sleep } from '../rewrap/store-patience.js';
import { createCredentials, type Credential } from './credentials.js';
import type { ApiServerAccess } from './kubeconfig.js';

interface ApiRequest {
  /** What has to be allowed; undefined: what everybody may who is known. */
  readonly needs?: { readonly verb: 'list' | 'patch'; readonly resource: string };
  /** With its query. */
  readonly path: string;
  readonly accept?: string;
  /** After so many an answer is returned, whatever it is; default: as long as the client is patient. */
  readonly attempts?: number;
  /** Absent: a GET. */
  readonly patch?: { readonly contentType: string; readonly body: unknown };
}

export interface ApiAnswer {
  readonly status: number;
  /** The object or the Status; empty when the body is no JSON object. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface ApiClient {
  /**
   * Waits and repeats while the server is busy (429), away (502 to 504) or cannot be reached; every other answer is returned, an internal error
   * (500) after some repetitions: it may be one object's. A credential that is refused is renewed once, where there is a way.
   *
   * @throws OpsError source-unreadable when that lasts, for 401, and for 403 when the verb itself is not allowed: then nothing else would be;
   *   interrupted
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
/** A server may ask for more patience than we have by ourselves. */
const MAX_RETRY_AFTER_MS = 30_000;
const AWAY: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const INTERNAL_ERROR_ATTEMPTS = 3;

export function createApiClient(options: ApiClientOptions): ApiClient {
  const { access, connections, outageMs, clock, signal } = options;
  const { server } = access;
  const credentials = createCredentials(access, clock, signal);
  const agents = createAgents(access, connections);
  const base = server.pathname.replace(/\/$/, '');

  const once = async (
    { path, accept, patch }: ApiRequest,
    credential: Credential,
  ): Promise<ApiAnswer & { readonly waitMs: number }> => {
    const body = patch === undefined ? undefined : JSON.stringify(patch.body);
    const headers = {
      accept: accept ?? 'application/json',
      ...(credential.token === undefined ? {} : { authorization: `Bearer ${credential.token}` }),
      ...(patch === undefined || body === undefined
        ? {}
        : { 'content-type': patch.contentType, 'content-length': Buffer.byteLength(body) }),
    };
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const send = server.protocol === 'https:' ? httpsRequest : httpRequest;
      const sent = send(new URL(`${base}${path}`, server), {
        method: patch === undefined ? 'GET' : 'PATCH',
        headers,
        agent: agents.for(credential),
        timeout: REQUEST_TIMEOUT_MS,
      });
      sent.on('timeout', () => sent.destroy(new Error(`no answer in ${REQUEST_TIMEOUT_MS / 1000} s`)));
      sent.on('error', reject);
      sent.on('response', resolve);
      sent.end(body);
    });
    return {
      body: parseObject(await readBody(answer)),
      status: answer.statusCode ?? 0,
      waitMs: 1000 * (Number(answer.headers['retry-after']) || 0),
    };
  };

  return {
    async send(request) {
      const endMs = clock.monotonicMs() + outageMs;
      let renewed = false;
      for (let attempt = 1, delayMs = FIRST_DELAY_MS; ; attempt++) {
        let waitMs = delayMs;
        let said: string;
        try {
          const credential = await credentials.current();
          const { waitMs: asked, ...answer } = await once(request, credential);
          if (answer.status === 401 && !renewed && (await credentials.renew(credential))) {
            renewed = true;
            continue;
          }
          if (answer.status === 401) throw unknownUser(server, answer);
          if (answer.status === 403 && isAboutVerb(answer, request)) throw forbidden(server, answer, request);
          const internal = answer.status === 500 && attempt < INTERNAL_ERROR_ATTEMPTS;
          const last = attempt >= (request.attempts ?? Infinity);
          if (last || (!internal && !AWAY.has(answer.status))) return answer;
          waitMs = Math.max(delayMs, Math.min(asked, MAX_RETRY_AFTER_MS));
          said = `${answer.status} ${messageOf(answer)}`;
        } catch (error) {
          if (error instanceof OpsError) throw error;
          said = errorMessage(error);
        }
        if (signal.aborted) throw new OpsError('interrupted', 'stopped', signal.reason);
        if (clock.monotonicMs() + waitMs >= endMs) {
          throw new OpsError('source-unreadable', `the API server ${server.host} does not answer: ${said}`);
        }
        await sleep(clock, waitMs, signal);
        delayMs = Math.min(2 * delayMs, MAX_DELAY_MS);
      }
    },
    close: () => agents.close(),
  };
}

interface Agents {
  for(credential: Credential): HttpAgent;
  close(): void;
}

/** A connection belongs to the certificate it was made with: another certificate has connections of its own. */
function createAgents({ server, ca, serverName }: ApiServerAccess, connections: number): Agents {
  const options = { keepAlive: true, maxSockets: connections };
  const made: { readonly cert: string; readonly agent: HttpAgent }[] = [];
  const create = ({ cert, key }: Credential): HttpAgent =>
    server.protocol === 'https:'
      ? new HttpsAgent({
          ...options,
          ...(ca && { ca }),
          ...(serverName !== undefined && { servername: serverName }),
          ...(cert && { cert }),
          ...(key && { key }),
        })
      : new HttpAgent(options);
  return {
    for(credential) {
      const cert = credential.cert?.toString() ?? '';
      const known = made.find((entry) => entry.cert === cert);
      if (known !== undefined) return known.agent;
      const agent = create(credential);
      made.push({ cert, agent });
      return agent;
    },
    close: () => made.forEach(({ agent }) => agent.destroy()),
  };
}

/** What a Status says. */
export function messageOf({ body }: ApiAnswer): string {
  return typeof body['message'] === 'string' ? body['message'] : '';
}

/** Not what admission or a policy has against one object: those answer 403, too. */
function isAboutVerb(answer: ApiAnswer, { needs }: ApiRequest): boolean {
  return needs === undefined || messageOf(answer).includes(`cannot ${needs.verb} resource`);
}

function forbidden(server: URL, answer: ApiAnswer, { needs }: ApiRequest): OpsError {
  const missing = needs === undefined ? '' : `The verb ${needs.verb} on ${needs.resource} is missing. `;
  return new OpsError(
    'source-unreadable',
    `the API server ${server.host} refuses: ${messageOf(answer) || answer.status}. ${missing}Rewrapping needs the verbs list and patch on each resource, in every namespace.`,
  );
}

function unknownUser(server: URL, answer: ApiAnswer): OpsError {
  return new OpsError(
    'source-unreadable',
    `the API server ${server.host} does not know who we are (401 ${messageOf(answer)}): the token or certificate of the kubeconfig is not, or no longer, one of its own.`,
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
