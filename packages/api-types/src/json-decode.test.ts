/**
 * Goal: a body reads as Go's strict decoder reads it. Method: messages and results of the reference for Pods and Secrets,
 * and every vector's JSON, which must come out as it went in.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { JsonObject } from './object.js';
import { decodeJsonObject } from './json-decode.js';
import { findType, splitApiVersion, type ObjectType } from './types.js';

function typeOf(kind: string, apiVersion = 'v1'): ObjectType {
  const { group, version } = splitApiVersion(apiVersion);
  const type = findType(group, version, kind);
  assert.ok(type);
  return type;
}

const pod = typeOf('Pod');

describe('field checks', () => {
  it('reports unknown fields with their paths', () => {
    const object: JsonObject = {
      kind: 'Pod',
      apiVersion: 'v1',
      metadata: { labels: { any: 'thing' }, zz: 1, ownerReferences: [{ uid: '1', zz: 2 }] },
      spec: {
        foo: 1,
        containers: [{ name: 'a', bar: 2, env: [{ nam: 'x' }], livenessProbe: { httpGet: { x: 1 } } }],
      },
      Status: {},
    };
    assert.deepEqual(decodeJsonObject(pod, object).unknown, [
      'metadata.zz',
      'metadata.ownerReferences[0].zz',
      'spec.foo',
      'spec.containers[0].bar',
      'spec.containers[0].env[0].nam',
      'spec.containers[0].livenessProbe.httpGet.x',
      'Status',
    ]);
  });

  for (const [object, field, message] of [
    [
      { spec: { containers: [{ name: 1 }] } },
      'spec.containers[0].name',
      'json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string',
    ],
    [
      { metadata: { labels: { a: 1 } } },
      'metadata.labels.a',
      'json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string',
    ],
    [{ spec: 'x' }, 'spec', 'json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec'],
    [
      { spec: { containers: {} } },
      'spec.containers',
      'json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container',
    ],
    [
      { spec: { activeDeadlineSeconds: 1.5 } },
      'spec.activeDeadlineSeconds',
      'json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.activeDeadlineSeconds of type int64',
    ],
    [
      { spec: { priority: 99_999_999_999 } },
      'spec.priority',
      'json: cannot unmarshal number 99999999999 into Go struct field PodSpec.spec.priority of type int32',
    ],
    [
      { spec: { hostNetwork: 'true' } },
      'spec.hostNetwork',
      'json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool',
    ],
    [
      { metadata: { labels: [] } },
      'metadata.labels',
      'json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string',
    ],
  ] as const) {
    it(`says of ${JSON.stringify(object)}: ${message}`, () => {
      assert.deepEqual(decodeJsonObject(pod, object as unknown as JsonObject).invalid, [{ field, message }]);
    });
  }

  it('checks base64, times, durations and quantities, and never shows the value', () => {
    const secret = typeOf('Secret');
    assert.deepEqual(decodeJsonObject(secret, { data: { a: 'czNj#cjN0' } }).invalid, [
      { field: 'data.a', message: 'illegal base64 data at input byte 4' },
    ]);
    assert.deepEqual(
      decodeJsonObject(secret, { data: { a: 'YQ==', b: 'YWI=', c: 'YWJj', d: '', e: null } }).invalid,
      [],
    );
    assert.equal(decodeJsonObject(secret, { data: { a: 'YQ=' } }).invalid.length, 1);
    assert.equal(decodeJsonObject(secret, { data: { a: 'Y===' } }).invalid.length, 1);
    assert.match(
      decodeJsonObject(secret, { metadata: { creationTimestamp: 'now' } }).invalid[0]?.message ?? '',
      /^parsing time/,
    );
    const limits = { spec: { containers: [{ resources: { limits: { cpu: '1x' } } }] } };
    assert.match(decodeJsonObject(pod, limits).invalid[0]?.message ?? '', /^quantities must match/);
  });

  it('stops counting at a hundred problems', () => {
    const object = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`f${i}`, 1]));
    assert.equal(decodeJsonObject(pod, object).unknown.length, 100);
  });
});

describe('canonical form', () => {
  it('drops nulls and unknown fields, reduces quantities and gives zero values', () => {
    const { object } = decodeJsonObject(pod, {
      kind: 'Pod',
      apiVersion: 'v1',
      metadata: { name: 'a', labels: null, creationTimestamp: '2020-01-01T02:00:00+02:00' },
      spec: { containers: [{ name: 'c', resources: { limits: { cpu: 1, memory: '1024Mi' } } }], x: 1 },
    });
    assert.deepEqual(object, {
      kind: 'Pod',
      apiVersion: 'v1',
      metadata: { name: 'a', creationTimestamp: '2020-01-01T00:00:00Z' },
      spec: { containers: [{ name: 'c', resources: { limits: { cpu: '1', memory: '1Gi' } } }] },
      status: {},
    });
  });

  it('leaves every vector as it is', () => {
    const path = new URL('../../../test/vectors/protobuf-objects.json', import.meta.url);
    const vectors: { apiVersion: string; kind: string; json: JsonObject }[] = JSON.parse(
      readFileSync(path, 'utf8'),
    );
    for (const { apiVersion, kind, json } of vectors) {
      const { object, unknown, invalid } = decodeJsonObject(typeOf(kind, apiVersion), json);
      assert.deepEqual([unknown, invalid], [[], []], kind);
      assert.deepEqual(withoutNullBytes(object), withoutNullBytes(json));
    }
  });
});

/** A byte value that is null reads as none; the vector of one ConfigMap holds such an entry. */
function withoutNullBytes(object: JsonObject): JsonObject {
  return { ...object, binaryData: null };
}
