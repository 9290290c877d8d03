import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseEndpoint } from './endpoint.js';
import { KmsApiError } from './errors.js';

test('endpoints read as the API server reads them', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['unix:///run/kms.sock', '/run/kms.sock', 'unix:///run/kms.sock'],
    ['unix:///run/a%20b.sock', '/run/a b.sock', 'unix:///run/a b.sock'],
    ['unix:////run//kms.sock', '/run//kms.sock', 'unix:///run//kms.sock'],
    ['/run/kms.sock', '/run/kms.sock', 'unix:///run/kms.sock'],
    ['/run/50%.sock', '/run/50%.sock', 'unix:///run/50%25.sock'],
    ['unix:///@waxseal', '\0waxseal', 'unix:///@waxseal'],
    ['unix://@waxseal', '\0waxseal', 'unix:///@waxseal'],
    ['@waxseal', '\0waxseal', 'unix:///@waxseal'],
  ];
  for (const [endpoint, netPath, url] of cases) {
    const address = parseEndpoint(endpoint);
    assert.equal(address.netPath, netPath);
    assert.equal(address.url, url);
    assert.equal(parseEndpoint(address.url).netPath, netPath, 'the shown form reads back');
  }
});

test('what is no unix socket is refused with what to write instead', () => {
  const refused = [
    '',
    '/',
    '@',
    'unix://',
    'unix:///',
    'tcp://127.0.0.1:1',
    'unix://run/x',
    'unix:///a%zz',
    '/a\0b',
    `/${'x'.repeat(107)}`,
    `@${'x'.repeat(108)}`,
  ];
  for (const endpoint of refused) {
    assert.throws(
      () => parseEndpoint(endpoint),
      (error) => error instanceof KmsApiError && error.code === 'invalid_endpoint',
      endpoint,
    );
  }
  assert.equal(parseEndpoint(`/${'x'.repeat(106)}`).kind, 'path');
});
