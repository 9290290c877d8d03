/**
 * Goal: strategic merge patches give what the reference gives. Method: a table of cases whose results were taken from
 * k8s.io/apimachinery `strategicpatch.StrategicMergePatch`.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findType, type JsonObject, type JsonValue, type ObjectType } from '@waxseal/api-types';
import { applyStrategicMergePatch } from './strategic.js';

function kind(name: string): ObjectType {
  const type = findType('', 'v1', name);
  assert.ok(type);
  return type;
}

const pod = kind('Pod');

/** Builds a Pod of its spec, or anything that is merged like one. */
function spec(value: JsonObject): JsonObject {
  return { spec: value };
}

function containers(...names: string[]): JsonValue[] {
  return names.map((name) => ({ name }));
}

const cases: readonly (readonly [string, JsonObject, JsonObject, JsonObject])[] = [
  [
    'merges maps',
    { metadata: { labels: { a: '1', b: '2' } } },
    { metadata: { labels: { b: null, c: '3' } } },
    { metadata: { labels: { a: '1', c: '3' } } },
  ],
  [
    'merges list items by key, the patch first',
    spec({
      containers: [
        { name: 'a', image: '1' },
        { name: 'b', image: '2' },
      ],
    }),
    spec({ containers: [{ name: 'b', image: '3' }, { name: 'c' }] }),
    spec({ containers: [{ name: 'a', image: '1' }, { name: 'b', image: '3' }, { name: 'c' }] }),
  ],
  [
    'adds a new item in front of those it does not name',
    spec({ containers: containers('a') }),
    spec({ containers: containers('b') }),
    spec({ containers: containers('b', 'a') }),
  ],
  [
    'deletes an item',
    spec({ containers: containers('a', 'b') }),
    spec({ containers: [{ name: 'a', $patch: 'delete' }] }),
    spec({ containers: containers('b') }),
  ],
  [
    'replaces a list',
    spec({ containers: containers('a', 'b') }),
    spec({ containers: [{ name: 'c' }, { $patch: 'replace' }] }),
    spec({ containers: containers('c') }),
  ],
  [
    'replaces a map',
    { metadata: { labels: { a: '1' } } },
    { metadata: { labels: { $patch: 'replace', z: '2' } } },
    { metadata: { labels: { z: '2' } } },
  ],
  [
    'empties a map',
    { metadata: { labels: { a: '1' } } },
    { metadata: { labels: { $patch: 'delete' } } },
    { metadata: { labels: {} } },
  ],
  [
    'replaces atomic lists',
    spec({ tolerations: [{ key: 'a' }] }),
    spec({ tolerations: [{ key: 'b' }] }),
    spec({ tolerations: [{ key: 'b' }] }),
  ],
  [
    'unites primitive lists',
    { metadata: { finalizers: ['a', 'b'] } },
    { metadata: { finalizers: ['c', 'b'] } },
    { metadata: { finalizers: ['c', 'a', 'b'] } },
  ],
  [
    'deletes from primitive lists',
    { metadata: { finalizers: ['a', 'b', 'c'] } },
    { metadata: { '$deleteFromPrimitiveList/finalizers': ['b'] } },
    { metadata: { finalizers: ['a', 'c'] } },
  ],
  [
    'orders a list',
    spec({ containers: containers('a', 'b', 'c') }),
    spec({ '$setElementOrder/containers': containers('c', 'a'), containers: [{ name: 'a', image: 'x' }] }),
    spec({ containers: [{ name: 'b' }, { name: 'c' }, { name: 'a', image: 'x' }] }),
  ],
  [
    'orders a primitive list',
    { metadata: { finalizers: ['a', 'b'] } },
    { metadata: { '$setElementOrder/finalizers': ['c', 'b', 'a'], finalizers: ['c'] } },
    { metadata: { finalizers: ['c', 'b', 'a'] } },
  ],
  [
    'retains the keys of a union',
    spec({ volumes: [{ name: 'v', emptyDir: {} }] }),
    spec({ volumes: [{ name: 'v', $retainKeys: ['name', 'secret'], secret: { secretName: 's' } }] }),
    spec({ volumes: [{ name: 'v', secret: { secretName: 's' } }] }),
  ],
  [
    'leaves directives out of what it adds',
    {},
    spec({
      containers: [
        { name: 'a', $patch: 'delete' },
        { name: 'b', image: null },
      ],
    }),
    spec({ containers: containers('b') }),
  ],
  ['ignores a null that matches nothing', {}, { metadata: { labels: null } }, { metadata: {} }],
];

describe('strategic merge patch', () => {
  for (const [title, target, patch, expected] of cases) {
    it(title, () => {
      const before = structuredClone([target, patch]);
      assert.deepEqual(applyStrategicMergePatch(pod, target, patch), expected);
      assert.deepEqual([target, patch], before);
    });
  }

  for (const [title, patch, problem, code] of [
    ['no object', [], 'malformed', 400],
    ['an unknown $patch', { spec: { $patch: 'merge' } }, 'malformed', 400],
    ['an item without its key', { spec: { containers: [{ image: 'x' }] } }, 'not-applicable', 422],
    ['a list of lists', { spec: { containers: [[]] } }, 'not-applicable', 422],
    ['a mixed list', { spec: { containers: ['x'] } }, 'not-applicable', 422],
    ['$retainKeys that is no list', { spec: { $retainKeys: 'x' } }, 'malformed', 400],
    ['a field $retainKeys lacks', { spec: { $retainKeys: ['a'], b: 1 } }, 'malformed', 400],
    [
      'an order that contradicts the patch',
      { spec: { '$setElementOrder/containers': [{ name: 'a' }], containers: [{ name: 'z' }] } },
      'malformed',
      400,
    ],
    ['an order that is no list', { spec: { '$setElementOrder/containers': {} } }, 'malformed', 400],
    ['a directive without a field', { metadata: { $deleteFromPrimitiveList: ['x'] } }, 'malformed', 400],
  ] as const) {
    it(`refuses ${title}`, () => {
      const target = { spec: { containers: [{ name: 'a' }] }, metadata: { finalizers: ['x'] } };
      assert.throws(() => applyStrategicMergePatch(pod, target, patch as unknown as JsonValue), {
        problem,
        code,
      });
    });
  }

  it('merges long lists in linear time', () => {
    const names = Array.from({ length: 20_000 }, (_, index) => `f${index}`);
    const target = { metadata: { finalizers: names } };
    const merged = applyStrategicMergePatch(pod, target, { metadata: { finalizers: names.toReversed() } });
    assert.equal((merged['metadata'] as { finalizers: string[] }).finalizers[0], 'f19999');
  });

  it('merges a Secret key by key', () => {
    const target = { type: 'Opaque', data: { a: 'YQ==', b: 'Yg==' } };
    assert.deepEqual(applyStrategicMergePatch(kind('Secret'), target, { data: { b: null, c: 'Yw==' } }), {
      type: 'Opaque',
      data: { a: 'YQ==', c: 'Yw==' },
    });
  });
});
