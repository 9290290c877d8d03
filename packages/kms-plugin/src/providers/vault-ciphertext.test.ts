/** The stored form of the vault provider: what is taken for one, and what is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProviderError } from '../errors.js';
import { isCanonicalBase64, openableCiphertext, parseTransitCiphertext } from './vault-ciphertext.js';

const base64 = Buffer.alloc(60, 0xa5).toString('base64');

test('the text of the transit engine, and that of Oracle’s plugin with the name of the key', () => {
  for (const [prefix, version] of [
    ['vault', 1],
    ['vault', 2_147_483_647],
    ['k8s.key-1', 12],
  ] as const) {
    assert.deepEqual(parseTransitCiphertext(Buffer.from(`${prefix}:v${version}:${base64}`), 'k8s.key-1'), {
      version,
      text: `vault:v${version}:${base64}`,
    });
  }
  assert.equal(
    parseTransitCiphertext(Buffer.from(`vault:v1:${base64}`), 'vault')?.version,
    1,
    'a key of that name',
  );
});

test('nothing else', () => {
  const others = [
    '',
    'vault',
    'vault:v1',
    'vault:v1:',
    'vault:v1:=',
    'vault:v1:AB==',
    'vault:v1:ABC',
    'vault:v1:AAAA\n',
    ' vault:v1:AAAA',
    'vault:v1:AA-_',
    'vault:v1:AAAA:AAAA',
    'vault:v0:AAAA',
    'vault:v01:AAAA',
    'vault:v-1:AAAA',
    'vault:v1.0:AAAA',
    'vault:v2147483648:AAAA',
    'vault:v99999999999:AAAA',
    'vault::AAAA',
    'VAULT:v1:AAAA',
    'other:v1:AAAA',
    'k8s:v1:',
    `vault:v1:${'AAAA'.repeat(254)}`,
  ];
  for (const text of others) {
    assert.equal(parseTransitCiphertext(Buffer.from(text), 'k8s'), undefined, JSON.stringify(text));
    assert.throws(
      () => openableCiphertext(Buffer.from(text), 'k8s'),
      (error) => error instanceof ProviderError && error.failure.class === 'corrupt',
    );
  }
  assert.equal(parseTransitCiphertext(Buffer.alloc(1024, 0xff), 'k8s'), undefined);
});

test('base64 has one spelling', () => {
  for (const text of ['', 'AA==', 'AAA=', 'AAAA', base64]) assert.ok(isCanonicalBase64(text), text);
  for (const text of ['A', 'AA', 'AB==', 'AAB=', 'AAAA=', 'AA-_', 'AA AA', 'AAAA\n'])
    assert.ok(!isCanonicalBase64(text), text);
});
