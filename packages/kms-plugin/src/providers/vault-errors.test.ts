/** The error tables, as data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grpcStatusOf } from '@waxseal/kms-api';
import { KmsPluginError, ProviderError, type Failure } from '../errors.js';
import {
  classifyVaultAnswer,
  classifyVaultFault,
  vaultFaults,
  vaultFindings,
  vaultMessages,
  vaultStatuses,
} from './vault-errors.js';

const codes: Readonly<Record<string, readonly string[]>> = {
  'user-induced': ['failed_precondition', 'invalid_argument'],
  denied: ['permission_denied', 'unauthenticated'],
  throttled: ['resource_exhausted'],
  unavailable: ['unavailable'],
  corrupt: ['invalid_argument', 'failed_precondition'],
  cancelled: ['cancelled'],
  internal: ['internal'],
};

test('every row gives a whole sentence of advice and a code that fits its class', () => {
  const rows: readonly (readonly [string, Failure])[] = [
    ...vaultMessages,
    ...[...vaultStatuses].map(([status, failure]) => [String(status), failure] as const),
    ...vaultFaults,
    ...Object.entries(vaultFindings),
  ];
  for (const [name, failure] of rows) {
    assert.match(failure.advice, /^[A-Z].{10,160}\.$/, name);
    assert.ok(
      codes[failure.class]?.includes(failure.code),
      `${name}: ${failure.class} answers ${failure.code}`,
    );
    assert.ok(grpcStatusOf(failure.code) > 0);
  }
});

test('no row of the messages hides a later one', () => {
  const seen: string[] = [];
  for (const words of vaultMessages.keys()) {
    const hiding = seen.find((earlier) => words.toLowerCase().includes(earlier.toLowerCase()));
    assert.equal(hiding, undefined, words);
    seen.push(words);
  }
});

const answers: readonly (readonly [number, string, string, string])[] = [
  [400, 'invalid ciphertext: no prefix', 'corrupt', 'invalid_argument'],
  [400, 'invalid ciphertext: unable to decrypt', 'corrupt', 'invalid_argument'],
  [400, 'invalid ciphertext: version is too new', 'corrupt', 'failed_precondition'],
  [400, 'cipher: message authentication failed', 'corrupt', 'invalid_argument'],
  [500, '1 error occurred:\n\t* cipher: message authentication failed\n\n', 'corrupt', 'invalid_argument'],
  [400, 'chacha20poly1305: message authentication failed', 'corrupt', 'invalid_argument'],
  [
    400,
    'ciphertext or signature version is disallowed by policy (too old)',
    'corrupt',
    'failed_precondition',
  ],
  [400, 'encryption key not found', 'user-induced', 'failed_precondition'],
  [400, 'refusing to use soft-deleted key', 'user-induced', 'failed_precondition'],
  [400, 'something nobody has heard of', 'user-induced', 'invalid_argument'],
  [400, 'missing client token', 'denied', 'unauthenticated'],
  [403, '2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n', 'denied', 'unauthenticated'],
  [403, '1 error occurred:\n\t* permission denied\n\n', 'denied', 'permission_denied'],
  [403, '', 'denied', 'permission_denied'],
  [
    404,
    'no handler for route "transit/keys/k". route entry not found.',
    'user-induced',
    'failed_precondition',
  ],
  [404, '', 'user-induced', 'failed_precondition'],
  [412, 'required index state not present', 'unavailable', 'unavailable'],
  [429, 'request path "transit/encrypt/k": rate limit quota exceeded', 'throttled', 'resource_exhausted'],
  [472, '', 'unavailable', 'unavailable'],
  [473, '', 'unavailable', 'unavailable'],
  [500, 'internal error', 'unavailable', 'unavailable'],
  [503, 'Vault is sealed', 'unavailable', 'unavailable'],
  [503, 'OpenBao is sealed', 'unavailable', 'unavailable'],
  [503, '', 'unavailable', 'unavailable'],
  [599, '', 'unavailable', 'unavailable'],
  [302, '', 'internal', 'internal'],
  [418, '', 'internal', 'internal'],
];
for (const [status, message, failureClass, code] of answers) {
  test(`HTTP ${status} ${JSON.stringify(message)} is ${failureClass}, ${code}`, () => {
    const { failure } = classifyVaultAnswer(status, message === '' ? [] : [message]);
    assert.deepEqual([failure.class, failure.code], [failureClass, code]);
  });
}

test('the words of the server are looked up and never shown', () => {
  const error = classifyVaultAnswer(500, ['never shown: the token is hvs.secret']);
  assert.doesNotMatch(error.message, /never shown|hvs/);
});

test('faults go by code or name, and strangers are internal', () => {
  const coded = (code: string): Error => Object.assign(new Error('never shown'), { code });
  assert.equal(classifyVaultFault(coded('ECONNREFUSED')).failure.class, 'unavailable');
  assert.equal(
    classifyVaultFault(coded('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA')).reason,
    'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
  );
  assert.equal(classifyVaultFault(coded('ERR_SSL_NEVER_HEARD_OF')).failure.class, 'unavailable');
  assert.equal(classifyVaultFault(coded('HPE_INVALID_HEADER_TOKEN')).failure.class, 'internal');
  assert.equal(classifyVaultFault(coded('STRANGE')).failure.class, 'internal');
  assert.equal(classifyVaultFault('a string').failure.class, 'internal');
  assert.doesNotMatch(classifyVaultFault(coded('STRANGE')).message, /never shown/);
  const misconfigured = classifyVaultFault(
    new KmsPluginError('credentials_invalid', 'The file x cannot be read.'),
  );
  assert.equal(misconfigured.failure.class, 'user-induced');
  const failed = new ProviderError('x', vaultFindings.gone);
  assert.equal(classifyVaultFault(failed), failed);
});
