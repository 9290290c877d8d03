/** The error table, as data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grpcStatusOf } from '@waxseal/kms-api';
import { KmsPluginError } from '../errors.js';
import { awsFailures, classifyAws } from './aws-errors.js';

test('every row gives a whole sentence of advice and a code that fits its class', () => {
  const codes: Readonly<Record<string, readonly string[]>> = {
    'user-induced': ['failed_precondition', 'invalid_argument'],
    denied: ['permission_denied', 'unauthenticated'],
    throttled: ['resource_exhausted'],
    unavailable: ['unavailable'],
    corrupt: ['invalid_argument'],
    cancelled: ['cancelled'],
  };
  for (const [name, failure] of awsFailures) {
    assert.match(failure.advice, /^[A-Z].{10,150}\.$/, name);
    assert.ok(
      codes[failure.class]?.includes(failure.code),
      `${name}: ${failure.class} answers ${failure.code}`,
    );
    assert.ok(grpcStatusOf(failure.code) > 0);
  }
});

test('names count before codes of the HTTP answer, and strangers are internal', () => {
  const named = (name: string): Error => Object.assign(new Error('x'), { name });
  assert.equal(classifyAws(named('DisabledException'), 500).failure.class, 'user-induced');
  assert.equal(classifyAws(Object.assign(new Error('x'), { code: 'ENOTFOUND' })).reason, 'ENOTFOUND');
  assert.equal(classifyAws(named('Strange'), 429).failure.class, 'throttled');
  assert.equal(classifyAws(named('Strange'), 502).failure.class, 'unavailable');
  assert.equal(classifyAws(named('Strange'), 302).failure.class, 'internal');
  assert.equal(classifyAws('a string').failure.class, 'internal');
  const misconfigured = classifyAws(new KmsPluginError('invalid_options', 'The CA file x cannot be read.'));
  assert.equal(misconfigured.failure.class, 'user-induced');
  assert.match(misconfigured.message, /The CA file x cannot be read/);
  assert.match(classifyAws(new Error('Region is missing')).message, /set AWS_REGION/);
  const failed = classifyAws(named('Strange'));
  assert.equal(classifyAws(failed), failed);
});
