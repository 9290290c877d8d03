/** Names of Cloud KMS keys, and key ids made of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isSameGcpKey, parseGcpKeyId, parseGcpKeyName } from './gcp-key-name.js';

const key = 'projects/p-1/locations/global/keyRings/r/cryptoKeys/k';

test('a name is that of a key or of one of its versions', () => {
  assert.deepEqual(parseGcpKeyName(key), { key, version: undefined });
  assert.deepEqual(parseGcpKeyName(`${key}/cryptoKeyVersions/12`), { key, version: '12' });
  const domain = key.replace('p-1', 'example.com:p-1');
  assert.deepEqual(parseGcpKeyName(`${domain}/cryptoKeyVersions/1`), { key: domain, version: '1' });
  for (const bad of [
    '',
    `${key}/`,
    `${key}/cryptoKeyVersions/`,
    `${key}/cryptoKeyVersions/01`,
    `${key}/cryptoKeyVersions/1/x`,
    `x${key}`,
    `${key}\n`,
    key.replace('/r/', '/../'),
    key.replace('p-1', 'p:q:r'),
    `${key}${'k'.repeat(600)}`,
  ]) {
    assert.equal(parseGcpKeyName(bad), undefined, bad);
  }
});

test('a key id is a name, with a suffix or without', () => {
  for (const name of [key, `${key}/cryptoKeyVersions/3`, key.replace('p-1', 'example.com:p-1')]) {
    assert.deepEqual(parseGcpKeyId(name), parseGcpKeyName(name));
    assert.deepEqual(parseGcpKeyId(`${name}:again:2`), parseGcpKeyName(name));
  }
  for (const bad of ['', ':', 'alias/x', `${key}/x:again`]) assert.equal(parseGcpKeyId(bad), undefined);
});

test('one key has one name but for the number of its project', () => {
  assert.ok(isSameGcpKey(key, key));
  assert.ok(isSameGcpKey(key, key.replace('p-1', '123')));
  assert.ok(!isSameGcpKey(key.replace('p-1', '123'), key.replace('p-1', '124')));
  for (const other of [key.replace('p-1', 'p-2'), key.replace('global', 'us'), `${key}2`, '', 'x']) {
    assert.ok(!isSameGcpKey(key, other), other);
  }
});

test('any text is answered', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 2000 }), (text) => {
      assert.equal(parseGcpKeyName(text), undefined);
      assert.equal(parseGcpKeyId(`${key}:${text.replaceAll('/', '')}`)?.key, key);
    }),
  );
});
