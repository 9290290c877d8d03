/** Goal: endpoints are read as etcd's own tools read them. Method: a table of spellings. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreError } from '../store.js';
import { parseEndpoint } from './endpoints.js';

test('endpoints of every spelling', () => {
  for (const [text, tlsByDefault, target, tls] of [
    ['https://etcd-0.etcd:2379', false, 'dns:etcd-0.etcd:2379', true],
    ['http://127.0.0.1:12379/', true, 'dns:127.0.0.1:12379', false],
    ['127.0.0.1:2379', false, 'dns:127.0.0.1:2379', false],
    ['etcd.example.org:2379', true, 'dns:etcd.example.org:2379', true],
    ['https://etcd.example.org', false, 'dns:etcd.example.org:2379', true],
    ['https://etcd.example.org:443', false, 'dns:etcd.example.org:443', true],
    ['http://etcd.example.org:80', false, 'dns:etcd.example.org:80', false],
    ['https://[::1]:2379', false, 'dns:[::1]:2379', true],
    ['unix:///run/etcd.sock', true, 'unix:/run/etcd.sock', false],
    ['unixs:///run/etcd.sock', false, 'unix:/run/etcd.sock', true],
  ] as const) {
    assert.deepEqual(parseEndpoint(text, tlsByDefault), { name: text, target, tls }, text);
  }
});

test('what is no endpoint is refused with the way to write one', () => {
  for (const text of [
    '',
    'http://',
    'ftp://a:1',
    'https://a:2379/path',
    'https://u:p@a:1',
    'unix://relative',
    'a:b:c',
  ]) {
    assert.throws(
      () => parseEndpoint(text, false),
      (error) =>
        error instanceof StoreError && error.code === 'invalid-argument' && !error.message.includes('u:p@'),
      text,
    );
  }
});
