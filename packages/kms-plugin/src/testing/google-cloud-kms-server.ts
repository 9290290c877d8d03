/**
 * A small Cloud KMS for tests: the REST surface of Encrypt, Decrypt, CryptoKeys.Get and CryptoKeyVersions.List with the checks of the real
 * one that matter here: the bearer token (a JWT that the service account's key signed), the routing header, every checksum (computed apart
 * from the code under test), and the state of the version. Answers carry numeric enums, as the client asks for them.
 */
import {
  createCipheriv,
  createDecipheriv,
  generateKeyPairSync,
  randomBytes,
  verify as verifySignature,
} from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { tempFolder } from './temp-folder.js';

export const testGcpKey = 'projects/test-project/locations/europe-west1/keyRings/ring/cryptoKeys/cluster';

/** What a workload's identity provider would have signed. */
export const testSubjectToken = 'a-subject-token-that-is-never-shown';
export const stsPath = '/sts/v1/token';
export const impersonationPath = '/v1/projects/-/serviceAccounts/plugin@test:generateAccessToken';

const clientEmail = 'plugin@test-project.iam.gserviceaccount.com';
// One pair for all tests of a process: making one costs a tenth of a second.
let pair: { readonly publicKey: string; readonly privateKey: string } | undefined;

type Fields = Readonly<Record<string, unknown>>;

interface ReceivedCall {
  /** `encrypt`, `decrypt`, `get` or `list`. */
  readonly action: string;
  readonly name: string;
  readonly fields: Fields;
}

/** CryptoKeyVersionState by its numbers. */
const states = {
  ENABLED: 1,
  DISABLED: 2,
  DESTROYED: 3,
  DESTROY_SCHEDULED: 4,
  PENDING_IMPORT: 6,
} as const;

interface TestVersion {
  state: keyof typeof states;
  destroyTime?: string;
  readonly material: Buffer;
}

export interface TestCloudKms {
  readonly endpoint: string;
  /** A service account key that the server knows. */
  readonly credentialsFile: string;
  readonly calls: readonly ReceivedCall[];
  /** What a good client never does. */
  readonly problems: readonly string[];
  /** By number, from 1. */
  readonly versions: Map<number, TestVersion>;
  primary: number | undefined;
  purpose: number;
  /** Makes a version and, unless told otherwise, the primary one. */
  addVersion(asPrimary?: boolean): number;
  /** Answers the request itself and returns true, or leaves it to the server. */
  interfere: (call: ReceivedCall, response: ServerResponse, request: IncomingMessage) => boolean;
  /** Changes an answer on its way. */
  alter: (call: ReceivedCall, answer: Record<string, unknown>) => void;
  /** Access tokens that the token services below gave out. */
  readonly issued: Set<string>;
  refuseImpersonation: boolean;
  readonly server: Server;
}

export async function startTestCloudKms(t: TestContext): Promise<TestCloudKms> {
  const keys = (pair ??= generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  }));
  const calls: ReceivedCall[] = [];
  const problems: string[] = [];

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const url = new URL(request.url ?? '', 'http://127.0.0.1');
    const match = /^\/v1\/(projects\/[^:]+?)(?:(\/cryptoKeyVersions)|:(encrypt|decrypt))?$/.exec(
      url.pathname,
    );
    const name = match?.[1] ?? '';
    const action = match?.[3] ?? (match?.[2] === undefined ? 'get' : 'list');
    const body = Buffer.concat(chunks).toString();
    if (url.pathname === stsPath || url.pathname === impersonationPath) {
      issueToken(kms, request, url.pathname, body, response);
      return;
    }
    const call = { action, name, fields: body === '' ? {} : (JSON.parse(body) as Fields) };
    const problem = requestProblem(request, url, call, keys.publicKey, kms.issued);
    if (problem !== undefined) {
      problems.push(problem);
      fail(response, 401, 'UNAUTHENTICATED');
      return;
    }
    calls.push(call);
    if (!kms.interfere(call, response, request)) answer(kms, call, response);
  };
  const server = createServer((request, response) => {
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

  const credentialsFile = join(await tempFolder(t), 'service-account.json');
  await writeFile(
    credentialsFile,
    JSON.stringify({
      type: 'service_account',
      project_id: 'test-project',
      private_key_id: 'test',
      private_key: keys.privateKey,
      client_email: clientEmail,
      token_uri: 'http://127.0.0.1:1/token',
    }),
    { mode: 0o600 },
  );
  const kms: TestCloudKms = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    credentialsFile,
    calls,
    problems,
    versions: new Map(),
    primary: undefined,
    purpose: 1,
    addVersion: (asPrimary = true) => {
      const number = kms.versions.size + 1;
      kms.versions.set(number, { state: 'ENABLED', material: randomBytes(32) });
      if (asPrimary) kms.primary = number;
      return number;
    },
    interfere: () => false,
    alter: () => {},
    issued: new Set(),
    refuseImpersonation: false,
    server,
  };
  kms.addVersion();
  return kms;
}

export function fail(response: ServerResponse, httpStatus: number, status: string, reason?: string): void {
  const details =
    reason === undefined
      ? {}
      : {
          details: [
            { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain: 'googleapis.com' },
          ],
        };
  send(response, httpStatus, {
    error: { code: httpStatus, message: 'a message that is never shown', status, ...details },
  });
}

function send(response: ServerResponse, httpStatus: number, body: object): void {
  response.writeHead(httpStatus, { 'content-type': 'application/json; charset=UTF-8' });
  response.end(JSON.stringify(body));
}

/** RFC 8693 with a subject token, and IAM Credentials' generateAccessToken for who has such a token. */
function issueToken(
  kms: TestCloudKms,
  request: IncomingMessage,
  path: string,
  body: string,
  response: ServerResponse,
): void {
  const token = `issued-${randomBytes(8).toString('hex')}`;
  if (path === stsPath) {
    const asked = new URLSearchParams(body);
    const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
    if (asked.get('grant_type') !== exchange || asked.get('subject_token') !== testSubjectToken) {
      send(response, 400, { error: 'invalid_target', error_description: 'a message that is never shown' });
      return;
    }
    kms.issued.add(token);
    send(response, 200, {
      access_token: token,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: 3600,
    });
  } else if (!kms.refuseImpersonation && kms.issued.delete(bearerOf(request))) {
    kms.issued.add(token);
    send(response, 200, { accessToken: token, expireTime: new Date(Date.now() + 3_600_000).toISOString() });
  } else {
    fail(response, 403, 'PERMISSION_DENIED');
  }
}

/** What a client may and must send; nothing when it is right. */
function requestProblem(
  request: IncomingMessage,
  url: URL,
  call: ReceivedCall,
  publicKey: string,
  issued: ReadonlySet<string>,
): string | undefined {
  const tokenProblem = issued.has(bearerOf(request)) ? undefined : signedTokenProblem(request, publicKey);
  if (tokenProblem !== undefined) return tokenProblem;
  const routed = new URLSearchParams(String(request.headers['x-goog-request-params']));
  if (routed.get(call.action === 'list' ? 'parent' : 'name') !== call.name)
    return 'the routing header names another key';
  if (!(url.searchParams.get('$alt') ?? '').includes('enum-encoding=int'))
    return 'enums are not asked for as numbers';
  if ((call.action === 'encrypt' || call.action === 'decrypt') !== (request.method === 'POST'))
    return 'another method';
  for (const [field, sum] of Object.entries(call.fields).filter(([field]) => !field.endsWith('Crc32c'))) {
    const checked = call.fields[`${field}Crc32c`];
    if (checked === undefined) return `${field} has no checksum`;
    if (checked !== String(crc32c(Buffer.from(String(sum), 'base64'))))
      return `the checksum of ${field} is wrong`;
  }
  return undefined;
}

function bearerOf(request: IncomingMessage): string {
  return request.headers.authorization?.replace(/^Bearer /, '') ?? '';
}

function signedTokenProblem(request: IncomingMessage, publicKey: string): string | undefined {
  const token = /^Bearer ([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(request.headers.authorization ?? '');
  if (token === null) return 'authorization header has another form';
  const [, header = '', claims = '', signature = ''] = token;
  if (
    !verifySignature(
      'sha256',
      Buffer.from(`${header}.${claims}`),
      publicKey,
      Buffer.from(signature, 'base64url'),
    )
  ) {
    return 'the token is not signed by the service account';
  }
  const said = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Fields;
  const now = Date.now() / 1000;
  if (said['iss'] !== clientEmail || Number(said['exp']) < now || Number(said['iat']) > now + 60) {
    return 'the token is of another account or time';
  }
  if (!String(said['scope']).split(' ').includes('https://www.googleapis.com/auth/cloud-platform')) {
    return 'the token lacks the scope';
  }
  return undefined;
}

function answer(kms: TestCloudKms, call: ReceivedCall, response: ServerResponse): void {
  const asked = /^(projects\/.*\/cryptoKeys\/[^/]+)(?:\/cryptoKeyVersions\/(\d+))?$/.exec(call.name);
  if (asked?.[1] !== testGcpKey) {
    fail(response, 404, 'NOT_FOUND');
    return;
  }
  const reply = (body: Record<string, unknown>): void => {
    kms.alter(call, body);
    send(response, 200, body);
  };
  if (call.action === 'get') {
    reply({
      name: testGcpKey,
      purpose: kms.purpose,
      ...(kms.primary === undefined ? {} : { primary: described(kms, kms.primary) }),
    });
  } else if (call.action === 'list') {
    reply({ cryptoKeyVersions: [...kms.versions.keys()].map((number) => described(kms, number)) });
  } else if (call.action === 'encrypt') {
    encrypt(kms, call, Number(asked[2] ?? kms.primary ?? 0), response, reply);
  } else {
    decrypt(kms, call, response, reply);
  }
}

type Reply = (body: Record<string, unknown>) => void;

// Real ciphertexts are opaque; these name their version in the second byte.
const mark = 0x0a;

function encrypt(
  kms: TestCloudKms,
  call: ReceivedCall,
  number: number,
  response: ServerResponse,
  reply: Reply,
): void {
  const version = usable(kms, number, response);
  if (version === undefined) return;
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', version.material, nonce).setAAD(
    bytesOf(call, 'additionalAuthenticatedData'),
  );
  const sealed = Buffer.concat([
    cipher.update(bytesOf(call, 'plaintext')),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
  const ciphertext = Buffer.concat([Buffer.from([mark, number]), nonce, sealed]);
  reply({
    name: `${testGcpKey}/cryptoKeyVersions/${number}`,
    ciphertext: ciphertext.toString('base64'),
    ciphertextCrc32c: String(crc32c(ciphertext)),
    verifiedPlaintextCrc32c: call.fields['plaintextCrc32c'] !== undefined,
    verifiedAdditionalAuthenticatedDataCrc32c: call.fields['additionalAuthenticatedDataCrc32c'] !== undefined,
    protectionLevel: 1,
  });
}

function decrypt(kms: TestCloudKms, call: ReceivedCall, response: ServerResponse, reply: Reply): void {
  const ciphertext = bytesOf(call, 'ciphertext');
  const number = ciphertext[1] ?? 0;
  if (ciphertext[0] !== mark || ciphertext.length < 30 || !kms.versions.has(number)) {
    fail(response, 400, 'INVALID_ARGUMENT');
    return;
  }
  const version = usable(kms, number, response);
  if (version === undefined) return;
  try {
    const decipher = createDecipheriv('aes-256-gcm', version.material, ciphertext.subarray(2, 14))
      .setAAD(bytesOf(call, 'additionalAuthenticatedData'))
      .setAuthTag(ciphertext.subarray(-16));
    const plaintext = Buffer.concat([decipher.update(ciphertext.subarray(14, -16)), decipher.final()]);
    reply({
      plaintext: plaintext.toString('base64'),
      plaintextCrc32c: String(crc32c(plaintext)),
      usedPrimary: number === kms.primary,
      protectionLevel: 1,
    });
  } catch {
    fail(response, 400, 'INVALID_ARGUMENT');
  }
}

function usable(kms: TestCloudKms, number: number, response: ServerResponse): TestVersion | undefined {
  const version = kms.versions.get(number);
  if (version?.state === 'ENABLED') return version;
  if (version === undefined) fail(response, 404, 'NOT_FOUND');
  else fail(response, 400, 'FAILED_PRECONDITION');
  return undefined;
}

function described(kms: TestCloudKms, number: number): object {
  const version = kms.versions.get(number);
  return {
    name: `${testGcpKey}/cryptoKeyVersions/${number}`,
    state: version === undefined ? 0 : states[version.state],
    protectionLevel: 1,
    ...(version?.destroyTime === undefined ? {} : { destroyTime: version.destroyTime }),
  };
}

function bytesOf(call: ReceivedCall, field: string): Buffer {
  const value = call.fields[field];
  return Buffer.from(typeof value === 'string' ? value : '', 'base64');
}

/** RFC 3720 appendix B.4, bit by bit. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
