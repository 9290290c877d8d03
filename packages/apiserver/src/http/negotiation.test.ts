import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createNegotiator, mediaTypeOf, parseAccept } from './negotiation.js';

const KUBECTL_GET =
  'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json';

test('the first clause that can be served wins', () => {
  const negotiate = createNegotiator();
  assert.deepEqual(negotiate(undefined, false), { format: 'json', convert: undefined });
  assert.deepEqual(negotiate('', false), { format: 'json', convert: undefined });
  assert.deepEqual(negotiate('*/*', false), { format: 'json', convert: undefined });
  assert.deepEqual(negotiate('application/*', false), { format: 'json', convert: undefined });
  assert.deepEqual(negotiate('text/html, application/yaml', false), { format: 'yaml', convert: undefined });
  assert.deepEqual(negotiate(KUBECTL_GET, false), {
    format: 'json',
    convert: { kind: 'Table', version: 'v1' },
  });
  assert.deepEqual(negotiate('application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io', false), {
    format: 'json',
    convert: { kind: 'PartialObjectMetadataList', version: 'v1' },
  });
  assert.deepEqual(negotiate('application/vnd.kubernetes.protobuf,application/json', false), {
    format: 'protobuf',
    convert: undefined,
  });
});

test('quality orders, zero forbids', () => {
  const negotiate = createNegotiator();
  assert.equal(negotiate('application/json;q=0.5, application/yaml;q=0.9', false).format, 'yaml');
  assert.throws(() => negotiate('application/json;q=0', false), { code: 406 });
});

test('what cannot be served is 406 and says what can', () => {
  const negotiate = createNegotiator();
  for (const accept of [
    'text/html',
    'image/*',
    'application/json;as=Table;v=v2;g=meta.k8s.io',
    'application/json;as=Chart;v=v1;g=meta.k8s.io',
    'application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io',
  ]) {
    assert.throws(() => negotiate(accept, false), { code: 406, message: /application\/yaml/ }, accept);
  }
  assert.throws(() => negotiate('application/yaml', true), { code: 406, message: /stream=watch/ });
});

test('hostile headers parse to something', () => {
  for (const header of [
    ',,,',
    ';;;',
    '/',
    'a/b;=;q=x',
    '\u0000',
    'application/json;q=NaN',
    ','.repeat(10_000),
  ]) {
    assert.ok(Array.isArray(parseAccept(header)));
  }
});

test('media types lose their parameters', () => {
  assert.equal(mediaTypeOf('Application/JSON; charset=utf-8'), 'application/json');
  assert.equal(mediaTypeOf(undefined), '');
});
