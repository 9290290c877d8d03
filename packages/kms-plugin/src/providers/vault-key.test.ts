/** What is made of Vault's words about a key. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProviderError } from '../errors.js';
import { conditionOf, parseTransitKey } from './vault-key.js';

test('symmetric keys tell seconds, asymmetric ones a date', () => {
  const symmetric = parseTransitKey({
    type: 'aes256-gcm96',
    latest_version: 2,
    keys: { 1: 1_700_000_000, 2: 1_700_000_060 },
  });
  assert.equal(symmetric.createdAtSeconds, 1_700_000_060);
  assert.equal(symmetric.asymmetric, false);
  const rsa = parseTransitKey({
    type: 'rsa-4096',
    latest_version: 1,
    keys: { 1: { creation_time: '2026-01-02T03:04:05.678901234Z', public_key: '…' } },
  });
  assert.equal(rsa.createdAtSeconds, Date.parse('2026-01-02T03:04:05Z') / 1000);
  assert.equal(rsa.asymmetric, true);
});

test('what may be missing may be missing, what is strange is not believed', () => {
  for (const keys of [
    undefined,
    null,
    'x',
    [],
    {},
    { 1: 'x' },
    { 1: null },
    { 1: -1 },
    { 1: { creation_time: 'x' } },
  ])
    assert.equal(parseTransitKey({ latest_version: 1, keys }).createdAtSeconds, undefined);
  const odd = parseTransitKey({
    latest_version: 1,
    min_decryption_version: 'x',
    deletion_allowed: 'true',
    soft_deleted: 1,
  });
  assert.deepEqual(conditionOf(odd), { state: 'usable', warnings: [] });
  for (const data of [
    undefined,
    null,
    'x',
    5,
    [],
    {},
    { latest_version: 0 },
    { latest_version: '1' },
    { latest_version: 1.5 },
    { latest_version: 1e300 },
  ])
    assert.throws(
      () => parseTransitKey(data),
      (error) => error instanceof ProviderError && error.failure.class === 'internal',
    );
});

test('every warning is a sentence of its own', () => {
  const { warnings, state } = conditionOf(
    parseTransitKey({
      latest_version: 4,
      min_available_version: 2,
      min_decryption_version: 3,
      min_encryption_version: 5,
      deletion_allowed: true,
      exportable: true,
      convergent_encryption: true,
      supports_encryption: false,
    }),
  );
  assert.equal(state, 'usable');
  assert.equal(warnings.length, 7);
  for (const warning of warnings) assert.match(warning, /^[A-Z].{20,160}\.$/);
});
