import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseEncryptionContext, parsePort, parseResource, parseSocket, parseStorage } from './options.js';

test('parsePort takes 0 to 65535 and nothing else', () => {
  assert.equal(parsePort('0'), 0);
  assert.equal(parsePort('65535'), 65_535);
  for (const text of ['', '-1', '65536', '1e3', '80 ', 'http', '0x50']) {
    assert.throws(() => parsePort(text), /Expected a port/, text);
  }
});

test('parseStorage reads lmdb and etcd URLs', () => {
  assert.deepEqual(parseStorage('lmdb'), { kind: 'lmdb' });
  assert.deepEqual(parseStorage('etcd://a:2379,b:2380'), {
    kind: 'etcd',
    endpoints: ['http://a:2379', 'http://b:2380'],
  });
  assert.deepEqual(parseStorage('etcds://[::1]:2379'), { kind: 'etcd', endpoints: ['https://[::1]:2379'] });
  assert.deepEqual(parseStorage('https://a:1,https://b:2'), {
    kind: 'etcd',
    endpoints: ['https://a:1', 'https://b:2'],
  });
  assert.deepEqual(parseStorage('etcd://a:1/'), { kind: 'etcd', endpoints: ['http://a:1'] });
  assert.throws(() => parseStorage('etcds://a:1,etcd://b:2'), /same scheme/);
  for (const text of ['', 'etcd', 'etcd://', 'etcd://a', 'etcd://a:b', 'redis://a:1', 'etcd://a:1,']) {
    assert.throws(() => parseStorage(text), /Expected lmdb|host:port/, text);
  }
});

test('parseResource reads a resource and its group, and no wildcard', () => {
  assert.deepEqual(parseResource('secrets'), { group: '', resource: 'secrets' });
  assert.deepEqual(parseResource('roles.rbac.authorization.k8s.io'), {
    group: 'rbac.authorization.k8s.io',
    resource: 'roles',
  });
  for (const text of ['', '.', 'secrets.', '*.*', 'Secrets', 'secrets/status'])
    assert.throws(() => parseResource(text), /Expected a resource/, text);
});

test('parseSocket makes paths absolute and leaves endpoints alone', () => {
  assert.equal(parseSocket('./kms.sock'), join(process.cwd(), 'kms.sock'));
  for (const text of ['/run/kms.sock', 'unix:///run/kms.sock', '@waxseal'])
    assert.equal(parseSocket(text), text);
  assert.throws(() => parseSocket(''), /Expected a path/);
});

test('parseEncryptionContext reads pairs, once each', () => {
  assert.deepEqual(parseEncryptionContext('a=b,c=d=e,f='), { a: 'b', c: 'd=e', f: '' });
  for (const text of ['', 'a', '=b', 'a=b,', 'a=1,a=2'])
    assert.throws(() => parseEncryptionContext(text), /name=value|given twice/);
});
