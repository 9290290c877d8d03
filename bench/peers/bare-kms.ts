/**
 * The floor a key service in Node can stand on: SigV4 verified, one AES-GCM, and nothing else. No policies, no key
 * derivation, no validation, no audit, nothing on disk.
 *
 *   node bare-kms.js ACCESS_KEY_ID SECRET [CERT KEY]      prints its URL; HTTPS when there is a certificate
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { contentType, sha256, signingKey } from '../support/sigv4.js';

const [accessKeyId = '', secret = '', cert, key] = process.argv.slice(2);
const master = randomBytes(32);
const signingKeys = new Map<string, Buffer>();
const authorizationPattern =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([a-z0-9-]+)\/kms\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/;

interface KmsBody {
  readonly Plaintext?: string;
  readonly CiphertextBlob?: string;
  readonly EncryptionContext?: Readonly<Record<string, string>>;
}

function isSigned({ headers, method, url }: IncomingMessage, body: Buffer): boolean {
  const [, id, day = '', region = '', signedHeaders = '', signature = ''] =
    authorizationPattern.exec(headers.authorization ?? '') ?? [];
  if (id !== accessKeyId) return false;
  const scope = `${day}/${region}/kms/aws4_request`;
  let signing = signingKeys.get(scope);
  if (signing === undefined) signingKeys.set(scope, (signing = signingKey(secret, day, region)));
  let lines = '';
  for (const name of signedHeaders.split(';')) lines += `${name}:${String(headers[name])}\n`;
  const canonical = `${method}\n${url}\n\n${lines}\n${signedHeaders}\n${sha256(body)}`;
  const expected = createHmac('sha256', signing)
    .update(`AWS4-HMAC-SHA256\n${String(headers['x-amz-date'])}\n${scope}\n${sha256(canonical)}`)
    .digest();
  return timingSafeEqual(expected, Buffer.from(signature, 'hex'));
}

function seal(plaintext: Buffer, aad: Buffer): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', master, nonce).setAAD(aad);
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]).toString(
    'base64',
  );
}

function open(sealed: Buffer, aad: Buffer): string {
  const decipher = createDecipheriv('aes-256-gcm', master, sealed.subarray(0, 12)).setAAD(aad);
  decipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]).toString('base64');
}

function answerTo(target: string, body: KmsBody): unknown {
  const aad = Buffer.from(JSON.stringify(body.EncryptionContext ?? {}));
  if (target === 'TrentService.Decrypt')
    return { Plaintext: open(Buffer.from(body.CiphertextBlob ?? '', 'base64'), aad), KeyId: 'k' };
  if (target === 'TrentService.Encrypt')
    return { CiphertextBlob: seal(Buffer.from(body.Plaintext ?? '', 'base64'), aad), KeyId: 'k' };
  const dataKey = randomBytes(32);
  return { Plaintext: dataKey.toString('base64'), CiphertextBlob: seal(dataKey, aad), KeyId: 'k' };
}

function onRequest(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const chunks: Buffer[] = [];
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
  incoming.on('end', () => {
    const body = Buffer.concat(chunks);
    const signed = isSigned(incoming, body);
    const target = String(incoming.headers['x-amz-target']);
    const answer = signed ? answerTo(target, JSON.parse(body.toString()) as KmsBody) : {};
    const text = JSON.stringify(answer);
    outgoing.writeHead(signed ? 200 : 400, {
      'Content-Type': contentType,
      'Content-Length': Buffer.byteLength(text),
    });
    outgoing.end(text);
  });
}

const server =
  cert === undefined || key === undefined
    ? createHttpServer(onRequest)
    : createHttpsServer({ cert: readFileSync(cert), key: readFileSync(key) }, onRequest);
server.listen(0, '127.0.0.1', () =>
  console.log(
    `${cert === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
  ),
);
