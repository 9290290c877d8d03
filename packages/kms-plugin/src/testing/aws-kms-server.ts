/**
 * A small AWS KMS for tests: Encrypt and Decrypt of the JSON 1.1 protocol with the checks of the real one that matter
 * here, the signature among them (Signature Version 4, computed apart from the code under test).
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export const testCredentials = { accessKeyId: 'AKIDTEST', secretAccessKey: 'test-secret' };
export const testRegion = 'eu-test-1';
export const testKeyArn = 'arn:aws:kms:eu-test-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';

interface ReceivedCall {
  readonly action: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Answers the request itself and returns true, or leaves it to the server. */
type Interference = (call: ReceivedCall, response: ServerResponse, request: IncomingMessage) => boolean;

export interface TestKms {
  readonly endpoint: string;
  readonly calls: readonly ReceivedCall[];
  /** Signature problems seen; a good client leaves none. */
  readonly problems: readonly string[];
  interfere: Interference;
  readonly server: Server;
}

export async function startTestKms(
  t: TestContext,
  tls?: { readonly key: string; readonly cert: string },
): Promise<TestKms> {
  const key = randomBytes(32);
  const calls: ReceivedCall[] = [];
  const problems: string[] = [];
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const problem = signatureProblem(request, body);
    if (problem !== undefined) {
      problems.push(problem);
      fail(response, 400, 'InvalidSignatureException');
      return;
    }
    const fields = JSON.parse(body.toString()) as Readonly<Record<string, unknown>>;
    const action = String(request.headers['x-amz-target']).replace('TrentService.', '');
    const call = { action, fields };
    calls.push(call);
    if (!kms.interfere(call, response, request)) answer(call, response, key);
  };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    void handle(request, response).catch(() => {
      response.destroy();
    });
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer({ ...tls }, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const kms: TestKms = {
    endpoint: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    calls,
    problems,
    interfere: () => false,
    server,
  };
  return kms;
}

export function fail(response: ServerResponse, status: number, type: string): void {
  send(response, status, { __type: type, message: 'a message that is never shown' });
}

export function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
  response.end(JSON.stringify(body));
}

function answer({ action, fields }: ReceivedCall, response: ServerResponse, key: Buffer): void {
  const context = Buffer.from(JSON.stringify(fields['EncryptionContext'] ?? {}));
  if (action === 'Encrypt') {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(context);
    const sealed = Buffer.concat([
      cipher.update(Buffer.from(String(fields['Plaintext']), 'base64')),
      cipher.final(),
    ]);
    const blob = Buffer.concat([Buffer.from([1, 2]), nonce, sealed, cipher.getAuthTag()]);
    send(response, 200, { CiphertextBlob: blob.toString('base64'), KeyId: testKeyArn });
    return;
  }
  const blob = Buffer.from(String(fields['CiphertextBlob']), 'base64');
  try {
    if (blob[0] !== 1 || blob[1] !== 2) throw new Error('not ours');
    const decipher = createDecipheriv('aes-256-gcm', key, blob.subarray(2, 14)).setAAD(context);
    decipher.setAuthTag(blob.subarray(-16));
    const plaintext = Buffer.concat([decipher.update(blob.subarray(14, -16)), decipher.final()]);
    send(response, 200, { Plaintext: plaintext.toString('base64'), KeyId: testKeyArn });
  } catch {
    fail(response, 400, 'InvalidCiphertextException');
  }
}

/** AWS's documented steps: canonical request, string to sign, derived key. */
function signatureProblem(request: IncomingMessage, body: Buffer): string | undefined {
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/kms\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      request.headers.authorization ?? '',
    );
  if (match === null) return 'authorization header has another form';
  const [, accessKeyId, day = '', region = '', signedHeaders = '', signature] = match;
  if (accessKeyId !== testCredentials.accessKeyId || region !== testRegion) return 'another credential scope';
  const names = signedHeaders.split(';');
  for (const needed of ['host', 'x-amz-date', 'x-amz-target']) {
    if (!names.includes(needed)) return `${needed} is not signed`;
  }
  const sha = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');
  const hmac = (secret: Buffer | string, data: string): Buffer =>
    createHmac('sha256', secret).update(data).digest();
  const headers = names.map((name) => `${name}:${String(request.headers[name]).trim()}\n`).join('');
  const canonical = ['POST', '/', '', headers, signedHeaders, sha(body)].join('\n');
  const scope = `${day}/${region}/kms/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', String(request.headers['x-amz-date']), scope, sha(canonical)].join(
    '\n',
  );
  const signingKey = [region, 'kms', 'aws4_request'].reduce(
    hmac,
    hmac(`AWS4${testCredentials.secretAccessKey}`, day),
  );
  return hmac(signingKey, toSign).toString('hex') === signature ? undefined : 'the signature does not match';
}
