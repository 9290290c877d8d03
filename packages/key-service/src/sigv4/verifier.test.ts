// Goal: exactly the requests a real signer signed are believed, and every refusal is AWS's.
// Method: @smithy/signature-v4 signs; each test changes one thing.
import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { test } from 'node:test';
import { SignatureV4 } from '@smithy/signature-v4';
import * as fc from 'fast-check';
import { createPrincipalDirectory } from '../access/principal-directory.js';
import type { AccessKey, PrincipalDirectory } from '../access/principals.js';
import { AwsError } from '../aws-error.js';
import type { HttpRequest } from '../http/message.js';
import { formatTimestamp, parseTimestamp } from './authorization.js';
import { canonicalUri } from './canonical-request.js';
import { createSignatureVerifier, deriveSigningKey } from './verifier.js';

const NOW = Date.parse('2026-03-04T05:06:07Z');
const SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
const HOST = '127.0.0.1:8443';

const principals = createPrincipalDirectory([
  {
    id: '111122223333',
    users: [{ name: 'alice', accessKeys: [{ id: 'AKIDEXAMPLE', secret: SECRET }], policies: [] }],
  },
]);
const verifier = createSignatureVerifier(principals, () => NOW);

interface Sha256 {
  update(data: string | ArrayBuffer | ArrayBufferView): void;
  digest(): Promise<Uint8Array>;
}

/** The hash constructor smithy asks for, over node:crypto. */
class NodeSha256 implements Sha256 {
  readonly #hash: { update(data: Buffer): unknown; digest(): Buffer };
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret));
  }
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data));
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Buffer {
  if (typeof data === 'string') return Buffer.from(data);
  return data instanceof ArrayBuffer
    ? Buffer.from(data)
    : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

function signer(service = 'kms', sessionToken?: string, uriEscapePath = true): SignatureV4 {
  return new SignatureV4({
    service,
    region: 'us-east-1',
    credentials: {
      accessKeyId: 'AKIDEXAMPLE',
      secretAccessKey: SECRET,
      ...(sessionToken ? { sessionToken } : {}),
    },
    sha256: NodeSha256,
    uriEscapePath,
  });
}

interface Draft {
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly path?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly signedAtMs?: number;
  readonly signer?: SignatureV4;
}

async function sign({
  body = '{}',
  headers = {},
  path = '/',
  query = {},
  signedAtMs = NOW,
  signer: by = signer(),
}: Draft = {}) {
  const signed = await by.sign(
    {
      method: 'POST',
      protocol: 'https:',
      hostname: '127.0.0.1',
      port: 8443,
      path,
      query: { ...query },
      headers: {
        host: HOST,
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': 'TrentService.ListKeys',
        ...headers,
      },
      body,
    },
    { signingDate: new Date(signedAtMs) },
  );
  const queryText = new URLSearchParams(query).toString().replaceAll('+', '%20');
  return toRequest('POST', queryText === '' ? path : `${path}?${queryText}`, signed.headers, body);
}

async function presign(expiresIn: number, signedAtMs = NOW, service = 'sts'): Promise<HttpRequest> {
  const signed = await signer(service).presign(
    {
      method: 'GET',
      protocol: 'https:',
      hostname: '127.0.0.1',
      path: '/',
      query: { Action: 'GetCallerIdentity', Version: '2011-06-15' },
      headers: { host: HOST, 'x-k8s-aws-id': 'a cluster' },
    },
    { signingDate: new Date(signedAtMs), expiresIn, unhoistableHeaders: new Set(['x-k8s-aws-id']) },
  );
  const query = Object.entries(signed.query ?? {})
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`)
    .join('&');
  return toRequest('GET', `/?${query}`, { host: HOST, 'x-k8s-aws-id': 'a cluster' }, '');
}

function toRequest(
  method: string,
  target: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): HttpRequest {
  const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  return { method, target, headers: new Map(lower), body: Buffer.from(body), sourceIpAddress: '127.0.0.1' };
}

function withHeader(request: HttpRequest, name: string, value: string | undefined): HttpRequest {
  const headers = new Map(request.headers);
  if (value === undefined) headers.delete(name);
  else headers.set(name, value);
  return { ...request, headers };
}

function refuses(
  request: HttpRequest,
  code: string,
  message: RegExp | string,
  by = verifier,
  service = 'kms',
): void {
  assert.throws(
    () => by.verify(request, service),
    (error) => {
      assert.ok(error instanceof AwsError);
      assert.equal(error.code, code, error.message);
      if (typeof message === 'string') assert.equal(error.message, message);
      else assert.match(error.message, message);
      return true;
    },
  );
}

const MISMATCH =
  'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.';

test('a signed request names its caller and region', async () => {
  const { accessKey, region } = verifier.verify(await sign(), 'kms');
  assert.equal(accessKey.principal.arn, 'arn:aws:iam::111122223333:user/alice');
  assert.equal(region, 'us-east-1');
});

test('the key derivation of the AWS documentation', () => {
  assert.equal(
    deriveSigningKey('wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', '20120215', 'us-east-1', 'iam').toString(
      'hex',
    ),
    'f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d',
  );
});

test('headers, paths, queries and bodies of any text verify as signed', async () => {
  const text = fc.string({
    unit: fc.constantFrom('a', 'Z', '0', ' ', '  ', '/', '%', '+', '=', '&', '*', '~', 'é', '\u{1F512}'),
  });
  await fc.assert(
    fc.asyncProperty(
      text,
      text.map((value) => encodeURIComponent(value.trim())),
      fc.dictionary(
        text.filter((name) => name !== ''),
        text,
        { maxKeys: 4, noNullPrototype: true },
      ),
      async (body, headerValue, query) => {
        const request = await sign({ body, headers: { 'x-amz-meta': ` ${headerValue}  x ` }, query });
        assert.ok(verifier.verify(request, 'kms'));
      },
    ),
    { numRuns: 200 },
  );
});

test('a path is normalised and encoded once more', () => {
  assert.equal(canonicalUri(''), '/');
  assert.equal(canonicalUri('//a/./b/../c%20d/'), '/a/c%2520d/');
  assert.equal(canonicalUri('/../..'), '/');
});

test('any change of what was signed is a mismatch', async () => {
  const request = await sign({ body: '{"KeyId":"a"}' });
  refuses({ ...request, body: Buffer.from('{"KeyId":"b"}') }, 'InvalidSignatureException', MISMATCH);
  refuses({ ...request, method: 'PUT' }, 'InvalidSignatureException', MISMATCH);
  refuses({ ...request, target: '/x' }, 'InvalidSignatureException', MISMATCH);
  refuses({ ...request, target: '/?a=b' }, 'InvalidSignatureException', MISMATCH);
  refuses(withHeader(request, 'host', 'evil'), 'InvalidSignatureException', MISMATCH);
  refuses(withHeader(request, 'x-amz-target', 'TrentService.Encrypt'), 'InvalidSignatureException', MISMATCH);
  refuses(withHeader(request, 'content-type', undefined), 'InvalidSignatureException', MISMATCH);
});

test('no other signature of the same length is taken', async () => {
  const request = await sign();
  const authorization = request.headers.get('authorization') ?? '';
  for (const signature of ['0'.repeat(64), 'G'.repeat(64), '0'.repeat(63), '0'.repeat(65)]) {
    refuses(
      withHeader(request, 'authorization', authorization.replace(/Signature=.*/, `Signature=${signature}`)),
      'InvalidSignatureException',
      MISMATCH,
    );
  }
});

test('a request without a signature', async () => {
  const request = await sign();
  const message = 'Missing Authentication Token';
  refuses(withHeader(request, 'authorization', undefined), 'MissingAuthenticationTokenException', message);
  refuses(withHeader(request, 'authorization', 'Bearer x'), 'MissingAuthenticationTokenException', message);
});

test('an incomplete Authorization header says what is missing, and never repeats itself', async () => {
  const request = await sign();
  refuses(
    withHeader(
      withHeader(request, 'authorization', 'AWS4-HMAC-SHA256 x=SECRETPART'),
      'x-amz-date',
      undefined,
    ),
    'IncompleteSignatureException',
    /^Authorization header requires 'Credential' parameter\. Authorization header requires 'Signature' parameter\. Authorization header requires 'SignedHeaders' parameter\. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header\. \(Hashed with SHA-256 and encoded with Base64\) Authorization=[\w+/]{43}=$/,
  );
  refuses(
    withHeader(request, 'authorization', 'AWS4-HMAC-SHA256 Credential'),
    'IncompleteSignatureException',
    /missing equal-sign/,
  );
  refuses(
    withHeader(request, 'authorization', 'AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0'),
    'IncompleteSignatureException',
    "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b'.",
  );
  refuses(
    withHeader(request, 'authorization', 'AWS4-ECDSA-P256-SHA256 x'),
    'IncompleteSignatureException',
    "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'.",
  );
});

test('an unknown access key', async () => {
  const request = await sign();
  const authorization = (request.headers.get('authorization') ?? '').replace('AKIDEXAMPLE', 'AKIDUNKNOWN');
  refuses(
    withHeader(request, 'authorization', authorization),
    'UnrecognizedClientException',
    'The security token included in the request is invalid.',
  );
});

test('a session token nobody issued', async () => {
  const request = await sign({ signer: signer('kms', 'a-token') });
  refuses(request, 'UnrecognizedClientException', 'The security token included in the request is invalid.');
});

test('temporary credentials need their token, and expire', async () => {
  const known = principals.findAccessKey('AKIDEXAMPLE') as AccessKey;
  const temporary = (expiresAtMs: number): PrincipalDirectory => ({
    ...principals,
    findAccessKey: () => ({ ...known, sessionToken: 'the-token', expiresAtMs }),
  });
  const alive = createSignatureVerifier(temporary(NOW + 1), () => NOW);
  const expired = createSignatureVerifier(temporary(NOW), () => NOW);
  const request = await sign({ signer: signer('kms', 'the-token') });
  assert.ok(alive.verify(request, 'kms'));
  refuses(await sign(), 'UnrecognizedClientException', /invalid/, alive);
  refuses(await sign({ signer: signer('kms', 'other') }), 'UnrecognizedClientException', /invalid/, alive);
  refuses(request, 'ExpiredTokenException', 'The security token included in the request is expired', expired);
});

test('clocks may differ by 15 minutes', async () => {
  assert.ok(verifier.verify(await sign({ signedAtMs: NOW - 15 * 60_000 }), 'kms'));
  assert.ok(verifier.verify(await sign({ signedAtMs: NOW + 15 * 60_000 }), 'kms'));
  refuses(
    await sign({ signedAtMs: NOW - 15 * 60_000 - 1000 }),
    'InvalidSignatureException',
    'Signature expired: 20260304T045106Z is now earlier than 20260304T045107Z (20260304T050607Z - 15 min.)',
  );
  refuses(
    await sign({ signedAtMs: NOW + 15 * 60_000 + 1000 }),
    'InvalidSignatureException',
    'Signature not yet current: 20260304T052108Z is still later than 20260304T052107Z (20260304T050607Z + 15 min.)',
  );
});

test('the scope must name the day, a region and the service', async () => {
  const request = await sign();
  const scoped = (from: string, to: string): HttpRequest =>
    withHeader(request, 'authorization', (request.headers.get('authorization') ?? '').replace(from, to));
  refuses(
    scoped('/20260304/', '/20260305/'),
    'InvalidSignatureException',
    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260305' != '20260304', from '20260304T050607Z'.",
  );
  refuses(scoped('/us-east-1/', '/nowhere/'), 'InvalidSignatureException', /valid region, not 'nowhere'/);
  refuses(scoped('/kms/', '/s3/'), 'InvalidSignatureException', /correct service: 'kms'/);
  refuses(scoped('/aws4_request', '/aws5_request'), 'InvalidSignatureException', /terminator/);
});

test('host and target must be among the signed headers', async () => {
  const request = await sign();
  const unsigned = (name: string): HttpRequest =>
    withHeader(
      request,
      'authorization',
      (request.headers.get('authorization') ?? '').replace(new RegExp(`;?${name}`), ''),
    );
  refuses(
    unsigned('host'),
    'InvalidSignatureException',
    "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
  );
  refuses(
    unsigned('x-amz-target'),
    'InvalidSignatureException',
    "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.",
  );
});

test('a presigned URL', async () => {
  const request = await presign(3600);
  assert.equal(verifier.verify(request, 'sts').accessKey.id, 'AKIDEXAMPLE');
  refuses(
    withHeader(request, 'x-k8s-aws-id', 'another cluster'),
    'InvalidSignatureException',
    MISMATCH,
    verifier,
    'sts',
  );
  refuses(
    { ...request, target: `${request.target}&Extra=1` },
    'InvalidSignatureException',
    MISMATCH,
    verifier,
    'sts',
  );
  assert.ok(verifier.verify(await presign(3600, NOW - 3_600_000), 'sts'));
  refuses(
    await presign(3600, NOW - 3_601_000),
    'InvalidSignatureException',
    /^Signature expired: /,
    verifier,
    'sts',
  );
});

test('a presigned URL of another service than STS lives as long as it asks for', async () => {
  assert.ok(verifier.verify(await presign(60, NOW - 60_000, 'kms'), 'kms'));
  refuses(await presign(60, NOW - 61_000, 'kms'), 'InvalidSignatureException', /^Signature expired: /);
  assert.ok(verifier.verify(await presign(60, NOW - 15 * 60_000), 'sts'));
  refuses(
    await presign(60, NOW - 15 * 60_000 - 1000),
    'InvalidSignatureException',
    /^Signature expired: /,
    verifier,
    'sts',
  );
});

test('timestamps read back as written', () => {
  assert.equal(parseTimestamp(formatTimestamp(NOW)), NOW);
  assert.ok(Number.isNaN(parseTimestamp('20261345T000000Z')));
});
