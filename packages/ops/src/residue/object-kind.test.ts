// Goal: kind and group are read from the beginning of either form, and nothing from anything else. Method: both forms, cut at every length.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { objectKindOf } from './object-kind.js';

/** runtime.Unknown {1 typeMeta {1 apiVersion, 2 kind}, 2 raw}, as kube-apiserver stores it. */
const protobuf = (apiVersion: string, kind: string): Buffer => {
  const field = (number: number, bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
  const typeMeta = Buffer.concat([field(1, Buffer.from(apiVersion)), field(2, Buffer.from(kind))]);
  return Buffer.concat([Buffer.from('k8s\0'), field(1, typeMeta), field(2, Buffer.alloc(50, 'x'))]);
};

test('JSON, in either order, and protobuf', () => {
  const secret = { kind: 'Secret', group: '' };
  const deployment = { kind: 'Deployment', group: 'apps' };
  assert.deepEqual(objectKindOf(Buffer.from('{"kind":"Secret","apiVersion":"v1","data":{}}')), secret);
  assert.deepEqual(objectKindOf(Buffer.from('{"apiVersion": "apps/v1", "kind": "Deployment"}')), deployment);
  assert.deepEqual(objectKindOf(protobuf('v1', 'Secret')), secret);
  assert.deepEqual(objectKindOf(protobuf('apps/v1', 'Deployment')), deployment);
});

test('anything else, and every beginning, has no other kind', () => {
  for (const text of ['', 'k8s\0', 'noise', '{"kind":"Secret"}', '{"kind":"Sec ret","apiVersion":"v1"}']) {
    assert.equal(objectKindOf(Buffer.from(text)), undefined, text);
  }
  const whole = protobuf('apps/v1', 'Deployment');
  for (let length = 0; length < whole.length; length++) {
    const found = objectKindOf(whole.subarray(0, length));
    assert.ok(found === undefined || found.kind === 'Deployment', `cut at ${length}`);
  }
});
