/**
 * A small Azure Key Vault for tests: keys with versions, Encrypt, Decrypt, Get Key, Get Key Versions and Get Deleted Key
 * behind the bearer challenge, and the token endpoint of the directory, over HTTPS.
 *
 * It behaves as the service does where that matters here: an RSA key that is disabled or too old or too young still does
 * what the service lets it do, and a ciphertext that cannot be opened is a bad parameter.
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, LookupFunction } from 'node:net';
import type { TestContext } from 'node:test';
import type { TestCertificates } from './certificates.js';

const testVaultHost = 'wax-test.vault.azure.net';
export const testHsmHost = 'wax-test.managedhsm.azure.net';
export const testVaultHosts: readonly string[] = [testVaultHost, testHsmHost];
export const testToken = 'a-token-that-is-never-shown';
export const testTenant = '11111111-2222-3333-4444-555555555555';
export const testClient = { id: 'client-id-of-the-test', secret: 'a-secret-that-is-never-shown' };

export interface TestKeyVersion {
  readonly version: string;
  /** A private RSA key, or 32 bytes. */
  readonly material: KeyObject | Buffer;
  enabled: boolean;
  readonly createdSeconds: number;
  notBeforeSeconds?: number;
  expiresSeconds?: number;
  operations: readonly string[];
}

interface VaultCall {
  readonly method: string;
  readonly path: string;
  readonly apiVersion: string | null;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Answers the request itself and returns true, or leaves it to the vault. */
type Interference = (call: VaultCall, response: ServerResponse, request: IncomingMessage) => boolean;

export interface TestVault {
  /** `https://wax-test.vault.azure.net:PORT`; resolve it with `lookup`. */
  readonly vaultUrl: string;
  readonly authorityHost: string;
  readonly lookup: LookupFunction;
  /** Oldest first. */
  readonly versions: TestKeyVersion[];
  /** Set: the key is deleted. */
  deleted: { readonly deletedSeconds: number; readonly purgeSeconds: number } | undefined;
  recoveryLevel: string;
  /** May the identity list and read keys. */
  mayGet: boolean;
  /** Calls with a good token. */
  readonly calls: VaultCall[];
  readonly tokensGiven: number;
  /** What a good client does not do. */
  readonly problems: readonly string[];
  interfere: Interference;
  readonly server: Server;
}

export interface TestVaultOptions {
  readonly certificates: TestCertificates;
  readonly host?: string;
  readonly keyName?: string;
  readonly versions: readonly TestKeyVersion[];
  readonly nowMs?: () => number;
}

export function testKeyVersion(
  material: KeyObject | Buffer,
  overrides: Partial<TestKeyVersion> = {},
): TestKeyVersion {
  return {
    version: randomBytes(16).toString('hex'),
    material,
    enabled: true,
    createdSeconds: 1_700_000_000,
    operations: ['encrypt', 'decrypt', 'wrapKey', 'unwrapKey'],
    ...overrides,
  };
}

export async function startTestVault(t: TestContext, options: TestVaultOptions): Promise<TestVault> {
  const host = options.host ?? testVaultHost;
  const keyName = options.keyName ?? 'k8s';
  const nowSeconds = (): number => (options.nowMs ?? Date.now)() / 1000;
  const calls: VaultCall[] = [];
  const problems: string[] = [];
  let tokensGiven = 0;

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const url = new URL(request.url ?? '/', vault.vaultUrl);
    if (url.pathname.startsWith(`/${testTenant}/`)) {
      if (answerDirectory(url, body, vault.authorityHost, response)) tokensGiven += 1;
      return;
    }
    if (request.headers.host !== new URL(vault.vaultUrl).host) problems.push('another host');
    if (request.headers.authorization !== `Bearer ${testToken}`) {
      if (request.headers.authorization !== undefined) problems.push('another token');
      if (body !== '') problems.push('a body without a token');
      const resource = host.slice(host.indexOf('.') + 1);
      response.setHeader(
        'www-authenticate',
        `Bearer authorization="https://login.microsoftonline.com/${testTenant}", resource="https://${resource}"`,
      );
      fail(response, 401, 'Unauthorized');
      return;
    }
    const fields = body === '' ? {} : (JSON.parse(body) as Readonly<Record<string, unknown>>);
    const call: VaultCall = {
      method: request.method ?? '',
      path: url.pathname,
      apiVersion: url.searchParams.get('api-version'),
      fields,
    };
    if (!/^(7\.\d|\d{4}-\d\d-\d\d)$/.test(call.apiVersion ?? '')) problems.push('no api-version');
    if (call.method === 'POST' && request.headers['content-type'] !== 'application/json') {
      problems.push(`content type ${String(request.headers['content-type'])}`);
    }
    calls.push(call);
    if (!vault.interfere(call, response, request)) answer(call, response);
  };

  const bundle = (one: TestKeyVersion): object => ({
    key: {
      kid: kidOf(one),
      kty: Buffer.isBuffer(one.material) ? 'oct-HSM' : 'RSA',
      key_ops: one.operations,
      ...(Buffer.isBuffer(one.material) ? {} : publicPart(one.material)),
    },
    attributes: attributesOf(one),
  });
  const kidOf = (one: TestKeyVersion): string => `${vault.vaultUrl}/keys/${keyName}/${one.version}`;
  const attributesOf = (one: TestKeyVersion): object => ({
    enabled: one.enabled,
    created: one.createdSeconds,
    updated: one.createdSeconds,
    recoveryLevel: vault.recoveryLevel,
    ...(vault.recoveryLevel === 'Purgeable' ? {} : { recoverableDays: 90 }),
    ...(one.notBeforeSeconds === undefined ? {} : { nbf: one.notBeforeSeconds }),
    ...(one.expiresSeconds === undefined ? {} : { exp: one.expiresSeconds }),
  });

  const answer = ({ method, path, fields }: VaultCall, response: ServerResponse): void => {
    const [, collection, name, version = '', operation] = path.split('/');
    if (method === 'GET' && !vault.mayGet) {
      fail(response, 403, 'Forbidden', 'ForbiddenByRbac');
      return;
    }
    if (collection === 'deletedkeys' && name === keyName && vault.deleted !== undefined) {
      const last = vault.versions.at(-1);
      send(response, 200, {
        ...(last === undefined ? {} : bundle(last)),
        recoveryId: `${vault.vaultUrl}/deletedkeys/${keyName}`,
        deletedDate: vault.deleted.deletedSeconds,
        scheduledPurgeDate: vault.deleted.purgeSeconds,
      });
      return;
    }
    if (collection !== 'keys' || name !== keyName || vault.deleted !== undefined) {
      fail(response, 404, 'KeyNotFound');
      return;
    }
    if (method === 'GET' && version === 'versions') {
      send(response, 200, {
        value: vault.versions.map((one) => ({ kid: kidOf(one), attributes: attributesOf(one) })),
        nextLink: null,
      });
      return;
    }
    const one =
      version === '' ? vault.versions.at(-1) : vault.versions.find((known) => known.version === version);
    if (one === undefined) fail(response, 404, 'KeyNotFound');
    else if (method === 'GET') send(response, 200, bundle(one));
    else operate(one, operation, fields, response);
  };

  const operate = (
    one: TestKeyVersion,
    operation: string | undefined,
    fields: Readonly<Record<string, unknown>>,
    response: ServerResponse,
  ): void => {
    const early = one.notBeforeSeconds !== undefined && nowSeconds() < one.notBeforeSeconds;
    const late = one.expiresSeconds !== undefined && nowSeconds() >= one.expiresSeconds;
    const refusal =
      operation === 'encrypt'
        ? early
          ? 'KeyNotYetValid'
          : late
            ? 'KeyExpired'
            : undefined
        : one.enabled
          ? undefined
          : 'KeyDisabled';
    if (refusal !== undefined) {
      fail(response, 403, 'Forbidden', refusal);
      return;
    }
    const run = operation === 'encrypt' ? seal : operation === 'decrypt' ? open : undefined;
    if (run === undefined) {
      problems.push(`operation ${String(operation)}`);
      fail(response, 404, 'NotFound');
      return;
    }
    try {
      send(response, 200, { kid: kidOf(one), ...run(one.material, fields) });
    } catch {
      fail(response, 400, 'BadParameter');
    }
  };

  const { key, cert } = options.certificates;
  const server = createServer({ key, cert }, (request, response) => {
    void handle(request, response).catch(() => {
      response.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const vault: TestVault = {
    vaultUrl: `https://${host}:${port}`,
    authorityHost: `https://127.0.0.1:${port}`,
    lookup: (_name, lookupOptions, callback) => {
      if (lookupOptions.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }]);
      else callback(null, '127.0.0.1', 4);
    },
    versions: [...options.versions],
    deleted: undefined,
    recoveryLevel: 'Recoverable',
    mayGet: true,
    calls,
    get tokensGiven() {
      return tokensGiven;
    },
    problems,
    interfere: () => false,
    server,
  };
  return vault;
}

/** An error in the vault's own shape. */
export function fail(response: ServerResponse, status: number, code: string, inner?: string): void {
  send(response, status, {
    error: {
      code,
      message: 'a message that is never shown',
      ...(inner === undefined ? {} : { innererror: { code: inner } }),
    },
  });
}

export function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
  response.end(JSON.stringify(body));
}

/** OpenID configuration and client credentials grant. True when a token was given. */
function answerDirectory(url: URL, body: string, host: string, response: ServerResponse): boolean {
  if (url.pathname.endsWith('/.well-known/openid-configuration')) {
    const base = `${host}/${testTenant}`;
    send(response, 200, {
      issuer: `${base}/v2.0`,
      authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
      token_endpoint: `${base}/oauth2/v2.0/token`,
      jwks_uri: `${base}/discovery/v2.0/keys`,
    });
    return false;
  }
  const form = new URLSearchParams(body);
  const good =
    url.pathname.endsWith('/oauth2/v2.0/token') &&
    form.get('grant_type') === 'client_credentials' &&
    form.get('client_id') === testClient.id &&
    form.get('client_secret') === testClient.secret &&
    form.get('scope')?.startsWith('https://vault.azure.net/.default') === true;
  if (good) send(response, 200, { token_type: 'Bearer', expires_in: 3600, access_token: testToken });
  else {
    send(response, 401, {
      error: 'invalid_client',
      error_description: 'AADSTS7000215: a message that is never shown',
      error_codes: [7000215],
    });
  }
  return good;
}

type Fields = Readonly<Record<string, unknown>>;

function seal(material: KeyObject | Buffer, fields: Fields): object {
  const value = bytesOf(fields['value']);
  if (!Buffer.isBuffer(material)) {
    const padding = paddingOf(fields['alg']);
    return {
      value: publicEncrypt({ key: createPublicKey(material), ...padding }, value).toString('base64url'),
    };
  }
  // The service chooses the nonce itself.
  if (fields['alg'] !== 'A256GCM' || fields['iv'] !== undefined) throw new Error('bad parameter');
  const nonce = randomBytes(12);
  const aad = bytesOf(fields['aad']);
  const cipher = createCipheriv('aes-256-gcm', material, nonce).setAAD(aad);
  const sealed = Buffer.concat([cipher.update(value), cipher.final()]);
  return {
    value: sealed.toString('base64url'),
    iv: nonce.toString('base64url'),
    tag: cipher.getAuthTag().toString('base64url'),
    aad: aad.toString('base64url'),
  };
}

function open(material: KeyObject | Buffer, fields: Fields): object {
  const value = bytesOf(fields['value']);
  if (!Buffer.isBuffer(material)) {
    const opened =
      fields['alg'] === 'RSA1_5'
        ? withoutPadding(privateDecrypt({ key: material, padding: constants.RSA_NO_PADDING }, value))
        : privateDecrypt({ key: material, ...paddingOf(fields['alg']) }, value);
    return { value: opened.toString('base64url') };
  }
  if (fields['alg'] !== 'A256GCM') throw new Error('bad parameter');
  const decipher = createDecipheriv('aes-256-gcm', material, bytesOf(fields['iv']))
    .setAAD(bytesOf(fields['aad']))
    .setAuthTag(bytesOf(fields['tag']));
  return { value: Buffer.concat([decipher.update(value), decipher.final()]).toString('base64url') };
}

/** RFC 8017 §7.2.2; Node has disabled this padding for its side channel, which does not matter here. */
function withoutPadding(block: Buffer): Buffer {
  const end = block.indexOf(0, 2);
  if (block[0] !== 0 || block[1] !== 2 || end < 10) throw new Error('bad parameter');
  return block.subarray(end + 1);
}

function paddingOf(algorithm: unknown): { padding: number; oaepHash?: string } {
  if (algorithm === 'RSA-OAEP-256') return { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
  if (algorithm === 'RSA1_5') return { padding: constants.RSA_PKCS1_PADDING };
  throw new Error('bad parameter');
}

function bytesOf(field: unknown): Buffer {
  if (typeof field !== 'string' || !/^[A-Za-z0-9_-]+$/.test(field)) throw new Error('bad parameter');
  return Buffer.from(field, 'base64url');
}

function publicPart(material: KeyObject): { readonly n?: string; readonly e?: string } {
  const { n, e } = createPublicKey(material).export({ format: 'jwk' });
  return { ...(n === undefined ? {} : { n }), ...(e === undefined ? {} : { e }) };
}
