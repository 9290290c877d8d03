/**
 * Goal: whatever the bytes are, there is an object, or a reason; and what an object lacks is said. Method: the reference's objects of twenty
 * kinds, and kinds, fields and numbers that are not known.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readManifest, type Manifest } from './manifest.js';

interface Vector {
  readonly kind: string;
  readonly protobufBase64: string;
  readonly json: Readonly<Record<string, unknown>>;
}

const read = (text: string): Manifest => readManifest(Buffer.from(text));
const lostOf = (manifest: Manifest): readonly string[] => {
  assert.ok(manifest.kind === 'object');
  return manifest.lost;
};

test('the reference’s protobuf objects of every kind lose no field', () => {
  const vectors = JSON.parse(
    readFileSync(new URL('../../../../test/vectors/protobuf-objects.json', import.meta.url), 'utf8'),
  ) as readonly Vector[];
  for (const { protobufBase64, json } of vectors) {
    const manifest = readManifest(Buffer.from(protobufBase64, 'base64'));
    assert.ok(manifest.kind === 'object');
    assert.deepEqual(manifest.object, json);
    // Random objects have integers of 64 bits.
    const others = manifest.lost.filter((loss) => loss !== 'an integer beyond 53 bits, which was rounded');
    assert.deepEqual(others, []);
  }
  assert.equal(new Set(vectors.map(({ kind }) => kind)).size, 20);
});

test('kinds without a table are refused as protobuf and taken as JSON', () => {
  const type = '\x0a\x0eexample.com/v1\x12\x06Widget';
  const protobuf = Buffer.from(`k8s\0\x0a${String.fromCharCode(type.length)}${type}`, 'latin1');
  const refused = readManifest(protobuf);
  assert.ok(refused.kind === 'undecodable');
  assert.match(refused.reason, /no kind "Widget" is registered for version "example.com\/v1"/);
  const json = { apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'w' }, spec: { any: [1] } };
  assert.deepEqual(read(JSON.stringify(json)), { kind: 'object', object: json, lost: [] });
});

test('a field of another release is told', () => {
  const raw = '\x0a\x03\x0a\x01a\x98\x06\x01';
  const head = 'k8s\0\x0a\x0c\x0a\x02v1\x12\x06Secret\x12';
  const manifest = readManifest(Buffer.from(`${head}${String.fromCharCode(raw.length)}${raw}`, 'latin1'));
  assert.deepEqual(lostOf(manifest), ['field 99 of Secret, which is of another release of Kubernetes']);
});

test('integers that are rounded are told, and only these', () => {
  const withSpec = (spec: string): readonly string[] =>
    lostOf(read(`{"apiVersion":"example.com/v1","kind":"Widget","spec":${spec}}`));
  assert.equal(withSpec('{"id":9007199254740993}').length, 1);
  assert.equal(withSpec('[1,-9223372036854775807]').length, 1);
  for (const exact of [
    '{"id":9007199254740992}',
    '{"id":"9007199254740993"}',
    '{"a \\"9007199254740993":1}',
    '{"d":0.12345678901234567890}',
    '{"d":12345678901234567e3}',
    '[1000000000000000000]',
  ]) {
    assert.deepEqual(withSpec(exact), [], exact);
  }
});
