/** The error table, as data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grpcStatusOf } from '@waxseal/kms-api';
import { KmsPluginError } from '../errors.js';
import { azureFailures, classifyAzure } from './azure-errors.js';

test('every row gives a whole sentence of advice and a code that fits its class', () => {
  const codes: Readonly<Record<string, readonly string[]>> = {
    'user-induced': ['failed_precondition', 'invalid_argument'],
    denied: ['permission_denied', 'unauthenticated'],
    throttled: ['resource_exhausted'],
    unavailable: ['unavailable'],
    corrupt: ['invalid_argument'],
    cancelled: ['cancelled'],
  };
  for (const [name, failure] of azureFailures) {
    assert.match(failure.advice, /^[A-Z].{10,150}\.$/, name);
    assert.ok(
      codes[failure.class]?.includes(failure.code),
      `${name}: ${failure.class} answers ${failure.code}`,
    );
    assert.ok(grpcStatusOf(failure.code) > 0);
  }
});

const failed = (fields: object): Error => Object.assign(new Error('never shown'), fields);

test('inner codes count before outer ones, names before the HTTP status, strangers are internal', () => {
  const forbidden = (code: string): Error =>
    failed({
      statusCode: 403,
      code: 'Forbidden',
      details: { error: { code: 'Forbidden', innerError: { code } } },
    });
  assert.equal(classifyAzure(forbidden('KeyDisabled'), 'decrypt').reason, 'KeyDisabled');
  assert.equal(classifyAzure(forbidden('ForbiddenByFirewall'), 'decrypt').failure.class, 'denied');
  assert.equal(classifyAzure(forbidden('NeverHeardOf'), 'decrypt').reason, 'Forbidden');
  const statuses: readonly (readonly [number, string])[] = [
    [401, 'denied'],
    [403, 'denied'],
    [404, 'user-induced'],
    [408, 'unavailable'],
    [418, 'internal'],
    [429, 'throttled'],
    [500, 'unavailable'],
    [503, 'unavailable'],
  ];
  for (const [statusCode, failureClass] of statuses) {
    assert.equal(classifyAzure(failed({ statusCode }), 'encrypt').failure.class, failureClass);
  }
  assert.equal(classifyAzure('a string', 'encrypt').failure.class, 'internal');
  assert.equal(classifyAzure(new Error('strange'), 'encrypt').failure.class, 'internal');
});

test('a bad parameter is a damaged ciphertext to decrypt, and a wrong algorithm to encrypt', () => {
  for (const error of [failed({ statusCode: 400 }), failed({ statusCode: 400, code: 'BadParameter' })]) {
    assert.equal(classifyAzure(error, 'decrypt').failure.class, 'corrupt');
    assert.equal(classifyAzure(error, 'encrypt').failure.class, 'user-induced');
  }
});

test('errors of the directory are told from those of the network beneath it', () => {
  const refused = failed({ name: 'AuthenticationError', errorResponse: { error: 'invalid_client' } });
  assert.equal(classifyAzure(refused, 'encrypt').reason, 'invalid_client');
  const unreachable = failed({ name: 'AuthenticationError', cause: failed({ code: 'ENOTFOUND' }) });
  assert.equal(classifyAzure(unreachable, 'encrypt').failure.class, 'unavailable');
  const broken = failed({ name: 'AuthenticationError', statusCode: 503 });
  assert.equal(classifyAzure(broken, 'encrypt').failure.class, 'unavailable');
  assert.equal(
    classifyAzure(failed({ name: 'CredentialUnavailableError' }), 'encrypt').failure.class,
    'denied',
  );
  const circular = failed({});
  Object.assign(circular, { cause: circular });
  assert.equal(classifyAzure(circular, 'encrypt').failure.class, 'internal');
});

test('what is set up wrongly is said in its own words, and what is classified stays so', () => {
  const misconfigured = classifyAzure(
    new KmsPluginError('credentials_invalid', 'The file x holds no client secret.'),
    'encrypt',
  );
  assert.equal(misconfigured.failure.class, 'user-induced');
  assert.match(misconfigured.message, /holds no client secret/);
  assert.equal(classifyAzure(misconfigured, 'decrypt'), misconfigured);
});
