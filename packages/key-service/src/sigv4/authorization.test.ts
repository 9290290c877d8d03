// Goal: remembering what a header claims never changes what it says.
// Method: a parser that has seen a header, and one that has seen none, read the same headers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HttpRequest } from '../http/message.js';
import { type Authorization, createAuthorizationParser } from './authorization.js';

const SIGNATURE = '0123456789abcdef'.repeat(4);
const CLAIM =
  'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260304/us-east-1/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature=';

function request(authorization: string, date = '20260304T050607Z'): HttpRequest {
  const headers = new Map([
    ['authorization', authorization],
    ['x-amz-date', date],
  ]);
  return { method: 'POST', target: '/', headers, body: Buffer.alloc(0), sourceIpAddress: '' };
}

function outcome(parse: (request: HttpRequest) => Authorization, header: string): unknown {
  try {
    return parse(request(header));
  } catch (error) {
    return String(error);
  }
}

const otherCredential = ',Credential=AKIDOTHER/20260304/us-east-1/kms/aws4_request';
const tails = [
  SIGNATURE,
  SIGNATURE.toUpperCase(),
  `${SIGNATURE.slice(0, 60)}    `,
  // As long as a signature, and another claim.
  `${SIGNATURE.slice(0, 64 - otherCredential.length)}${otherCredential}`,
  SIGNATURE.slice(1),
  `${SIGNATURE}0`,
  '',
];
const heads = [
  CLAIM,
  CLAIM.replace('host;', ''),
  `${CLAIM}${SIGNATURE}, xSignature=`,
  `${CLAIM}${SIGNATURE}, Signature=`,
  CLAIM.slice(0, 40),
  'AWS4-HMAC-SHA256 Signature=',
];

test('the second header is read as if it were the first', () => {
  const headers = heads.flatMap((head) => tails.map((tail) => `${head}${tail}`));
  for (const first of headers) {
    for (const second of headers) {
      const parse = createAuthorizationParser();
      outcome(parse, first);
      assert.deepEqual(outcome(parse, second), outcome(createAuthorizationParser(), second));
    }
  }
});

test('a claim that is known does not spare the date', () => {
  const parse = createAuthorizationParser();
  parse(request(`${CLAIM}${SIGNATURE}`));
  assert.throws(() => parse(request(`${CLAIM}${SIGNATURE}`, 'yesterday')), /ISO-8601/);
});

test('more claims than are remembered are all read', () => {
  const parse = createAuthorizationParser();
  for (let i = 0; i < 1500; i++) {
    const { scope } = parse(request(`${CLAIM.replace('AKIDEXAMPLE', `AKID${i}`)}${SIGNATURE}`));
    assert.equal(scope.accessKeyId, `AKID${i}`);
  }
});
