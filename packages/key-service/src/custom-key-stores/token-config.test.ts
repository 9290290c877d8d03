// Goal: the tokens of a configuration file are read, and whatever is not right in it is named.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyServiceError } from '../errors.js';
import { parseTokens } from './token-config.js';

const file = (...tokens: readonly string[]): string =>
  `accounts:\n  - id: "111122223333"\n    tokens:\n${tokens.map((token) => `      - ${token}\n`).join('')}`;

test('tokens belong to their accounts', () => {
  assert.deepEqual(parseTokens('accounts: [{ id: "111122223333" }]'), []);
  assert.deepEqual(
    parseTokens(
      file(
        '{ id: cluster-1a23b4cdefg, module: /m.so, token: keys }',
        '{ id: cluster-2a23b4cdefg, module: /m.so, serial: "0042" }',
      ),
    ),
    [
      { accountId: '111122223333', clusterId: 'cluster-1a23b4cdefg', module: '/m.so', label: 'keys' },
      { accountId: '111122223333', clusterId: 'cluster-2a23b4cdefg', module: '/m.so', serialNumber: '0042' },
    ],
  );
});

test('a mistake is named by its place', () => {
  for (const [token, message] of [
    ['7', /tokens\[0\] must be a mapping/],
    ['{ id: hsm, module: /m.so, token: a }', /tokens\[0\]\.id must be 'cluster-'/],
    ['{ id: cluster-1a23b4cdefg, module: m.so, token: a }', /tokens\[0\]\.module must be the absolute path/],
    ['{ id: cluster-1a23b4cdefg, module: /m.so }', /tokens\[0\] needs token/],
    ['{ id: cluster-1a23b4cdefg, module: /m.so, serial: 42 }', /tokens\[0\]\.serial must be a text/],
    [`{ id: cluster-1a23b4cdefg, module: /m.so, token: ${'a'.repeat(33)} }`, /tokens\[0\]\.token must be/],
    ['{ id: cluster-1a23b4cdefg, module: /m.so, token: a, pin: "1" }', /unknown member 'pin'/],
  ] as const) {
    assert.throws(
      () => parseTokens(file(token)),
      (error: unknown) => error instanceof KeyServiceError && message.test(error.message),
      token,
    );
  }
  const one = '{ id: cluster-1a23b4cdefg, module: /m.so, token: a }';
  assert.throws(() => parseTokens(file(one, one)), /has cluster-1a23b4cdefg twice/);
  assert.throws(() => parseTokens('accounts: [{ id: "111122223333", tokens: {} }]'), /must be a list/);
});
