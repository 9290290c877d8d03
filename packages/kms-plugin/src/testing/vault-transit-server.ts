/**
 * A small Vault for tests: the transit engine, tokens with a lease, and the logins approle, kubernetes, jwt and cert, with the statuses
 * and messages of the real one. What it is sent is recorded, and what the real one would not take is a problem.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { TLSSocket } from 'node:tls';
import {
  createTransitKey,
  describeTransitKey,
  transitDecrypt,
  transitEncrypt,
  TransitRefusal,
  type TestTransitKey,
} from './vault-transit-engine.js';

type Fields = Readonly<Record<string, unknown>>;

interface VaultCall {
  readonly method: string;
  /** Behind `/v1/`. */
  readonly path: string;
  readonly body: Fields;
  readonly token: string | undefined;
  readonly namespace: string | undefined;
}

/** Answers the request itself and returns true, or leaves it to the server. */
type Interference = (call: VaultCall, response: ServerResponse, request: IncomingMessage) => boolean;

interface TestToken {
  expiresAtMs: number;
  readonly maxExpiresAtMs: number;
  readonly ttlSeconds: number;
}

export interface TestVault {
  readonly address: string;
  readonly server: Server;
  readonly calls: readonly VaultCall[];
  /** What a real Vault would not have been sent. */
  readonly problems: readonly string[];
  readonly keys: Map<string, TestTransitKey>;
  readonly tokens: Map<string, TestToken>;
  /** Lease of the tokens that logins give; 0: forever. */
  leaseSeconds: number;
  /** Renewals end here, counted from the login. */
  maxLeaseSeconds: number;
  sealed: boolean;
  /** Paths no token may use. */
  readonly denied: Set<string>;
  /** Milliseconds; what leases are measured against. */
  nowMs: () => number;
  interfere: Interference;
  addToken(token: string, ttlSeconds?: number): void;
}

export const testKeyName = 'k8s';
export const testRoleId = '11111111-role';
export const testSecretId = '22222222-secret';
export const testWrappingToken = 'hvs.wrapping';
export const testJwt = 'header.payload.signature';
export const testRole = 'kms';
export const testKeyMadeAtSeconds = 1_700_000_000;

export async function startTestVault(
  t: TestContext,
  tls?: { readonly key: string; readonly cert: string; readonly caPem: string },
): Promise<TestVault> {
  const calls: VaultCall[] = [];
  const problems: string[] = [];
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const header = (name: string): string | undefined => {
      const value = request.headers[name];
      return typeof value === 'string' ? value : undefined;
    };
    if (header('x-vault-request') !== 'true') problems.push('X-Vault-Request is missing');
    if (text !== '' && header('content-type') !== 'application/json')
      problems.push('the body is not called JSON');
    if (!(request.url ?? '').startsWith('/v1/')) problems.push(`path ${String(request.url)}`);
    const call: VaultCall = {
      method: request.method ?? '',
      path: (request.url ?? '').slice('/v1/'.length),
      body: text === '' ? {} : (JSON.parse(text) as Fields),
      token: header('x-vault-token'),
      namespace: header('x-vault-namespace'),
    };
    calls.push(call);
    if (vault.interfere(call, response, request)) return;
    try {
      if (vault.sealed) throw new TransitRefusal(503, 'Vault is sealed');
      send(response, 200, {
        request_id: 'r',
        lease_id: '',
        ...answer(vault, call, request.socket as TLSSocket),
      });
    } catch (error) {
      if (!(error instanceof TransitRefusal)) throw error;
      refuse(response, error.status, error.message);
    }
  };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    void handle(request, response).catch(() => {
      response.destroy();
    });
  };
  const server =
    tls === undefined
      ? createServer(listener)
      : createTlsServer(
          { key: tls.key, cert: tls.cert, ca: tls.caPem, requestCert: true, rejectUnauthorized: false },
          listener,
        );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const vault: TestVault = {
    address: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    server,
    calls,
    problems,
    keys: new Map([[testKeyName, createTransitKey(testKeyMadeAtSeconds)]]),
    tokens: new Map(),
    leaseSeconds: 0,
    maxLeaseSeconds: Infinity,
    sealed: false,
    denied: new Set(),
    nowMs: () => performance.now(),
    interfere: () => false,
    addToken: (token, ttlSeconds = 0) => {
      const nowMs = vault.nowMs();
      vault.tokens.set(token, {
        expiresAtMs: ttlSeconds === 0 ? Infinity : nowMs + ttlSeconds * 1000,
        maxExpiresAtMs: nowMs + vault.maxLeaseSeconds * 1000,
        ttlSeconds,
      });
    },
  };
  return vault;
}

export function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

/** As Vault says no; without a message, as it does for a path that holds nothing. */
export function refuse(response: ServerResponse, status: number, message?: string): void {
  send(response, status, { errors: message === undefined || message === '' ? [] : [message] });
}

function answer(vault: TestVault, call: VaultCall, socket: TLSSocket): Fields {
  const { method, path, body } = call;
  const [first = '', second = '', third = ''] = path.split('/');
  const mount = /^auth\/(.+)\/login$/.exec(path)?.[1];
  if (method === 'POST' && mount !== undefined) return { auth: login(vault, mount, body, socket) };
  if (path === 'sys/wrapping/unwrap') {
    if (call.token !== testWrappingToken || vault.denied.has(path))
      throw new TransitRefusal(400, 'wrapping token is not valid or does not exist');
    vault.denied.add(path);
    return { data: { secret_id: testSecretId } };
  }
  const token = vault.tokens.get(call.token ?? '');
  if (token === undefined || token.expiresAtMs <= vault.nowMs())
    throw new TransitRefusal(403, '2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n');
  if (vault.denied.has(path)) throw new TransitRefusal(403, '1 error occurred:\n\t* permission denied\n\n');
  const remaining = (): number =>
    token.expiresAtMs === Infinity ? 0 : Math.max(0, Math.floor((token.expiresAtMs - vault.nowMs()) / 1000));
  if (path === 'auth/token/lookup-self')
    return { data: { ttl: remaining(), renewable: token.ttlSeconds > 0, type: 'service' } };
  if (path === 'auth/token/renew-self') {
    token.expiresAtMs = Math.min(vault.nowMs() + token.ttlSeconds * 1000, token.maxExpiresAtMs);
    return { auth: { client_token: call.token, lease_duration: remaining(), renewable: true } };
  }
  if (first !== 'transit')
    throw new TransitRefusal(404, `no handler for route "${path}". route entry not found.`);
  const key = vault.keys.get(third);
  switch (`${method} ${second}`) {
    case 'GET keys':
      if (key === undefined) throw new TransitRefusal(404, '');
      return { data: describeTransitKey(third, key) };
    case 'POST encrypt':
      if (key === undefined) throw new TransitRefusal(400, 'encryption key not found');
      return { data: transitEncrypt(key, body) };
    case 'POST decrypt':
      if (key === undefined) throw new TransitRefusal(400, 'encryption key not found');
      return { data: transitDecrypt(key, body) };
    default:
      throw new TransitRefusal(405, 'unsupported operation');
  }
}

function login(vault: TestVault, method: string, body: Fields, socket: TLSSocket): Fields {
  switch (method) {
    case 'approle':
      if (body['role_id'] !== testRoleId || body['secret_id'] !== testSecretId)
        throw new TransitRefusal(400, 'invalid role or secret ID');
      break;
    case 'kubernetes':
    case 'jwt':
      if (body['role'] !== testRole)
        throw new TransitRefusal(400, `invalid role name "${String(body['role'])}"`);
      if (body['jwt'] !== testJwt) throw new TransitRefusal(403, 'permission denied');
      break;
    case 'cert':
      if (!socket.authorized)
        throw new TransitRefusal(400, 'invalid certificate or no client certificate supplied');
      break;
    default:
      throw new TransitRefusal(403, 'permission denied');
  }
  const token = `hvs.${randomBytes(12).toString('hex')}`;
  vault.addToken(token, vault.leaseSeconds);
  return { client_token: token, lease_duration: vault.leaseSeconds, renewable: vault.leaseSeconds > 0 };
}
