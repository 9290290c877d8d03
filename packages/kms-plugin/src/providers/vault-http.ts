/**
 * The HTTP API of Vault and OpenBao with as little as possible around it: JSON over kept-alive connections to one of several nodes.
 *
 * Source: the HTTP API documentation (headers, status codes, redirection of standbys with 307). A redirection is followed only to a
 * node that is configured, since the token goes with it.
 */
import { readFile } from 'node:fs/promises';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { KmsPluginError, ProviderError } from '../errors.js';
import { parseEndpoint } from './endpoint.js';
import {
  classifyVaultAnswer,
  classifyVaultFault,
  garbledVaultAnswer,
  vaultFindings,
} from './vault-errors.js';

export interface VaultConnectionOptions {
  /** `https://host:port`, or several nodes of one cluster; plain http only to this machine. */
  readonly address: string | readonly string[];
  /** Sent as X-Vault-Namespace; none by default. */
  readonly namespace?: string;
  /** PEM file of Vault's CA; the system's CAs otherwise. */
  readonly caFile?: string;
  /** PEM files of the client certificate and its key; needed for the `cert` login, and where the listener asks for one. */
  readonly clientCertFile?: string;
  readonly clientKeyFile?: string;
  /** The name Vault's certificate is checked against; the host of the address by default. */
  readonly serverName?: string;
}

export interface VaultRequest {
  readonly method: 'GET' | 'POST';
  /** Behind `/v1/`, its parts already encoded. */
  readonly path: string;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly token?: string;
  /** Must not be sent twice, as what it carries can be used once. */
  readonly once?: boolean;
}

export type VaultAnswer = Readonly<Record<string, unknown>>;

export interface VaultHttp {
  /** @throws ProviderError */
  call(request: VaultRequest, signal: AbortSignal): Promise<VaultAnswer>;
  /**
   * Reads the certificates again; new connections use them.
   *
   * @throws KmsPluginError; then the old ones stay
   */
  reload(): Promise<void>;
  close(): void;
}

const socketsMax = 128;
/** A key of 10,000 versions takes 200 KiB; everything else is short. */
const answerMaxBytes = 1024 * 1024;
const redirectsMax = 2;

/** @throws KmsPluginError `invalid_options` */
export function createVaultHttp(options: VaultConnectionOptions): VaultHttp {
  const nodes = parseAddresses(options.address);
  if ((options.clientCertFile === undefined) !== (options.clientKeyFile === undefined))
    throw new KmsPluginError(
      'invalid_options',
      'A client certificate needs its key file, and the key file it.',
    );
  const headers = {
    accept: 'application/json',
    'x-vault-request': 'true',
    ...(options.namespace === undefined ? {} : { 'x-vault-namespace': checkedNamespace(options.namespace) }),
  };
  /** The node that answered last; the next one is asked when it fails. */
  let current = 0;
  let agents: Promise<Agents> | undefined;
  let closed = false;

  const opened = (): Promise<Agents> =>
    (agents ??= openAgents(options).catch((error: unknown) => {
      agents = undefined;
      throw error;
    }));

  const send = async (request: VaultRequest, signal: AbortSignal): Promise<VaultAnswer> => {
    for (let redirects = 0; ; redirects += 1) {
      const node = nodes[current] as URL;
      const { status, location, text } = await exchange(node, await opened(), headers, request, signal);
      if (status === 307 || status === 308) {
        const next = nodeOf(nodes, node, location);
        if (next === undefined || redirects === redirectsMax)
          throw new ProviderError(`HTTP ${status}`, vaultFindings.strangeRedirect);
        current = next;
        continue;
      }
      const answer = parseAnswer(text);
      if (status < 200 || status > 299) throw classifyVaultAnswer(status, messagesOf(answer));
      if (status === 204) return {};
      if (answer === undefined) throw garbledVaultAnswer('answer is not a JSON object');
      return answer;
    }
  };

  return {
    call: async (request, signal) => {
      let nodesLeft = nodes.length - 1;
      let mayBeStale = request.once !== true;
      for (;;) {
        if (closed) throw new ProviderError('closed', vaultFindings.closed);
        const asked = current;
        try {
          return await send(request, signal);
        } catch (error) {
          const failed = classifyVaultFault(error);
          if (signal.aborted) throw failed;
          // A connection that was closed while idle says nothing of the node. Other retries on one node are the plugin's.
          if (failed.reason === 'ECONNRESET' && mayBeStale) {
            mayBeStale = false;
            continue;
          }
          if (failed.failure.class === 'unavailable' && current === asked)
            current = (asked + 1) % nodes.length;
          // Nothing was sent to a node that does not listen.
          const again =
            request.once === true ? failed.reason === 'ECONNREFUSED' : failed.failure.class === 'unavailable';
          if (!again || nodesLeft === 0) throw failed;
          nodesLeft -= 1;
        }
      }
    },
    reload: async () => {
      const old = agents;
      const fresh = openAgents(options);
      await fresh;
      agents = fresh;
      (await old?.catch(() => undefined))?.retire();
    },
    close: () => {
      closed = true;
      void agents?.then(
        (open) => {
          open.close();
          return undefined;
        },
        () => undefined,
      );
      agents = undefined;
    },
  };
}

interface Agents {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
  /** Lets calls under way finish. */
  retire(): void;
  close(): void;
}

/** @throws KmsPluginError when a certificate cannot be read */
async function openAgents(options: VaultConnectionOptions): Promise<Agents> {
  const [ca, cert, key] = await Promise.all(
    [options.caFile, options.clientCertFile, options.clientKeyFile].map(readPem),
  );
  const pool = { keepAlive: true, maxSockets: socketsMax };
  const http = new HttpAgent(pool);
  const https = new HttpsAgent({
    ...pool,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    ...(options.serverName === undefined ? {} : { servername: options.serverName }),
  });
  return {
    http,
    https,
    retire: () => {
      for (const agent of [http, https]) {
        agent.maxFreeSockets = 0;
        for (const sockets of Object.values(agent.freeSockets))
          for (const socket of sockets ?? []) socket.destroy();
      }
    },
    close: () => {
      http.destroy();
      https.destroy();
    },
  };
}

async function readPem(path: string | undefined): Promise<Buffer | undefined> {
  try {
    return path === undefined ? undefined : await readFile(path);
  } catch (cause) {
    throw new KmsPluginError(
      'invalid_options',
      `The certificate or key file ${path ?? ''} cannot be read.`,
      cause,
    );
  }
}

function exchange(
  node: URL,
  agents: Agents,
  headers: Readonly<Record<string, string>>,
  { method, path, body, token }: VaultRequest,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly location: string | undefined; readonly text: string }> {
  const tls = node.protocol === 'https:';
  const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const sent = (tls ? httpsRequest : httpRequest)(
      {
        method,
        path: `/v1/${path}`,
        hostname: node.hostname.replace(/^\[|\]$/g, ''),
        port: node.port === '' ? undefined : node.port,
        headers: {
          ...headers,
          ...(token === undefined ? {} : { 'x-vault-token': token }),
          ...(payload === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': payload.length }),
        },
        agent: tls ? agents.https : agents.http,
        signal,
      },
      (answer) => {
        readText(answer).then((text) => {
          resolve({ status: answer.statusCode ?? 0, location: answer.headers.location, text });
          return undefined;
        }, reject);
      },
    );
    sent.on('error', reject);
    sent.on('close', () => payload?.fill(0));
    sent.end(payload);
  });
}

async function readText(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    total += chunk.length;
    if (total > answerMaxBytes) {
      answer.destroy();
      throw garbledVaultAnswer(`answer over ${answerMaxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  const whole = Buffer.concat(chunks);
  const text = whole.toString('utf8');
  // A Decrypt's answer holds a data key.
  for (const bytes of [...chunks, whole]) bytes.fill(0);
  return text;
}

function parseAnswer(text: string): VaultAnswer | undefined {
  try {
    const answer: unknown = JSON.parse(text);
    return typeof answer === 'object' && answer !== null && !Array.isArray(answer)
      ? (answer as VaultAnswer)
      : undefined;
  } catch {
    // The parser's message would quote the answer.
    return undefined;
  }
}

function messagesOf(answer: VaultAnswer | undefined): readonly string[] {
  const errors = answer?.['errors'];
  return Array.isArray(errors) ? errors.filter((entry) => typeof entry === 'string') : [];
}

/** The index of the node a redirection names. */
function nodeOf(nodes: readonly URL[], from: URL, location: string | undefined): number | undefined {
  if (location === undefined || !URL.canParse(location, from.href)) return undefined;
  const { origin } = new URL(location, from);
  const index = nodes.findIndex((node) => node.origin === origin);
  return index === -1 ? undefined : index;
}

function parseAddresses(address: string | readonly string[]): readonly URL[] {
  const nodes = (typeof address === 'string' ? [address] : address).map(parseEndpoint);
  if (nodes.length === 0)
    throw new KmsPluginError('invalid_options', 'Vault needs an address: https://host:port.');
  for (const node of nodes) {
    if (node.pathname !== '/' || node.search !== '' || node.username !== '')
      throw new KmsPluginError(
        'invalid_options',
        `"${node.origin}" is given with a path or user; leave only https://host:port.`,
      );
  }
  return nodes;
}

function checkedNamespace(namespace: string): string {
  if (/^[\w\-./]{1,512}$/.test(namespace)) return namespace;
  throw new KmsPluginError(
    'invalid_options',
    'The Vault namespace may hold letters, digits and - _ . / only.',
  );
}
