/** The error table, as data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pkcs11Error, type Pkcs11ErrorCode } from '@waxseal/pkcs11';
import { KmsPluginError } from '../errors.js';
import { classifyPkcs11, pkcs11Failures, returnValueFailures } from './pkcs11-errors.js';

test('every row gives a whole sentence of advice and a code that fits its class', () => {
  const codes: Readonly<Record<string, readonly string[]>> = {
    'user-induced': ['failed_precondition'],
    denied: ['unauthenticated'],
    throttled: ['resource_exhausted'],
    unavailable: ['unavailable', 'deadline_exceeded'],
    corrupt: ['invalid_argument'],
  };
  for (const [name, failure] of [...Object.entries(pkcs11Failures), ...returnValueFailures]) {
    assert.match(failure.advice, /^[A-Z].{10,150}\.$/, name);
    assert.ok(
      codes[failure.class]?.includes(failure.code),
      `${name}: ${failure.class} answers ${failure.code}`,
    );
  }
});

test('what the module answered counts before the code, and strangers are internal', () => {
  const failed = (code: Pkcs11ErrorCode, rv?: string): string =>
    classifyPkcs11(new Pkcs11Error(code, 'with 1234 in it', { rv })).message;
  assert.match(failed('key-forbids', 'CKR_KEY_TYPE_INCONSISTENT'), /^CKR_KEY_TYPE_INCONSISTENT: .*mechanism/);
  assert.match(failed('key-forbids', 'CKR_ACTION_PROHIBITED'), /^CKR_ACTION_PROHIBITED: .*attributes/);
  assert.match(failed('token-gone', 'CKR_DEVICE_REMOVED'), /^CKR_DEVICE_REMOVED: The token is away/);
  assert.match(failed('timeout'), /^timeout: /);
  assert.doesNotMatch(failed('token-failed', 'CKR_GENERAL_ERROR'), /1234/);
  assert.equal(classifyPkcs11(new Error('x')).failure.class, 'internal');
  assert.equal(classifyPkcs11('a string').failure.class, 'internal');
  const unreadable = classifyPkcs11(
    new KmsPluginError('credentials_invalid', 'The PIN file cannot be read.'),
  );
  assert.equal(unreadable.failure.class, 'user-induced');
  const again = classifyPkcs11(unreadable);
  assert.equal(again, unreadable);
});
