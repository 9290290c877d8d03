import assert from 'node:assert/strict';
import { test } from 'node:test';
import { padsAbstractNames, parseEndpoint } from './endpoint.js';
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

test('abstract names are portable when this runtime keeps them as they are', () => {
  for (const version of ['1.46.0', '0.11.29', '1.47.9']) assert.ok(padsAbstractNames(version), version);
  for (const version of ['1.48.0', '1.51.0', '2.0.0']) assert.ok(!padsAbstractNames(version), version);
  assert.equal(parseEndpoint('/run/kms.sock').portable, true);
  assert.equal(parseEndpoint(`@${'x'.repeat(107)}`).portable, true);
  assert.equal(parseEndpoint('@waxseal').portable, !padsAbstractNames(process.versions.uv));
});
