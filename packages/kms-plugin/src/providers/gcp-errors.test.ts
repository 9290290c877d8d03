/** The error table of Cloud KMS, as data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grpcStatusOf } from '@waxseal/kms-api';
import { KmsPluginError } from '../errors.js';
import { classifyGcp, classifyGcpCredentials, gcpFailures, gcpOperationFailures } from './gcp-errors.js';

test('every row gives a whole sentence of advice and a code that fits its class', () => {
  const codes: Readonly<Record<string, readonly string[]>> = {
    'user-induced': ['failed_precondition', 'invalid_argument'],
    denied: ['permission_denied', 'unauthenticated'],
    throttled: ['resource_exhausted'],
    unavailable: ['unavailable', 'deadline_exceeded'],
    corrupt: ['invalid_argument'],
    cancelled: ['cancelled'],
    internal: ['internal'],
  };
  const operations = Object.values(gcpOperationFailures).flatMap((table) => [...table]);
  for (const [name, failure] of [...gcpFailures, ...operations]) {
    assert.match(failure.advice, /^[A-Z].{10,150}\.$/, name);
    assert.ok(
      codes[failure.class]?.includes(failure.code),
      `${name}: ${failure.class} answers ${failure.code}`,
    );
    assert.ok(grpcStatusOf(failure.code) > 0);
  }
});

test('every canonical status but OK has a row', () => {
  const statuses =
    'CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED';
  for (const status of statuses.split(' ')) assert.ok(gcpFailures.has(status), status);
});

const answered = (status: number, body: unknown): Error =>
  Object.assign(new Error(typeof body === 'string' ? body : JSON.stringify(body)), { status });

test('the reason counts before the status, the status before the HTTP code', () => {
  const error = (status: string, reason?: string): unknown => ({
    error: { status, details: [{}, { reason }] },
  });
  assert.equal(
    classifyGcp(answered(403, error('PERMISSION_DENIED', 'SERVICE_DISABLED')), 'encrypt').reason,
    'SERVICE_DISABLED',
  );
  assert.equal(
    classifyGcp(answered(403, error('PERMISSION_DENIED', 'unheard of')), 'encrypt').reason,
    'PERMISSION_DENIED',
  );
  assert.equal(
    classifyGcp(answered(400, error('FAILED_PRECONDITION')), 'encrypt').failure.class,
    'user-induced',
  );
  assert.equal(classifyGcp(answered(429, '<html>'), 'encrypt').failure.class, 'throttled');
  assert.equal(classifyGcp(answered(502, '<html>'), 'encrypt').failure.class, 'unavailable');
  assert.equal(classifyGcp(answered(302, ''), 'encrypt').failure.class, 'internal');
  assert.equal(classifyGcp(answered(400, { error: 'invalid_grant' }), 'encrypt').failure.class, 'denied');
  assert.equal(
    classifyGcp(answered(400, { error: { status: 7, details: 'x' } }), 'encrypt').reason,
    'HTTP 400',
  );
});

test('an invalid argument of Decrypt is the ciphertext, of Encrypt the configuration', () => {
  const invalid = answered(400, { error: { status: 'INVALID_ARGUMENT' } });
  assert.equal(classifyGcp(invalid, 'decrypt').failure.class, 'corrupt');
  assert.equal(classifyGcp(invalid, 'encrypt').failure.class, 'user-induced');
});

test('strangers are internal, or bad credentials while there are none yet', () => {
  assert.equal(classifyGcp('a string', 'encrypt').failure.class, 'internal');
  assert.equal(classifyGcp(new Error('strange'), 'encrypt').failure.class, 'internal');
  assert.equal(classifyGcpCredentials(new Error('strange')).failure.class, 'denied');
  assert.equal(classifyGcpCredentials(new SyntaxError('never shown')).failure.class, 'denied');
  assert.equal(classifyGcpCredentials(Object.assign(new Error(), { code: 'ENOTFOUND' })).reason, 'ENOTFOUND');
  const misconfigured = classifyGcp(
    new KmsPluginError('invalid_options', 'The file x cannot be read.'),
    'encrypt',
  );
  assert.match(misconfigured.message, /The file x cannot be read/);
  assert.equal(classifyGcp(misconfigured, 'decrypt'), misconfigured);
});

test('what the client throws keeps its name, code and place, and nothing else', () => {
  const thrown = Object.assign(new TypeError('never shown'), {
    code: 'ECONNRESET',
    config: { body: 'never shown' },
  });
  const { cause } = classifyGcp(thrown, 'encrypt');
  assert.ok(cause instanceof Error);
  assert.equal(cause.name, 'TypeError');
  assert.equal(Reflect.get(cause, 'code'), 'ECONNRESET');
  assert.doesNotMatch(`${JSON.stringify(cause)} ${cause.message} ${cause.stack ?? ''}`, /never shown/);
});
