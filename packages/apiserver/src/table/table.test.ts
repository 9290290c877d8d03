/** Goal: rows as kubectl shows them from kube-apiserver. Method: one object a printer, ages at the borders of units. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JsonValue, KubeObject } from '@waxseal/api-types';
import type { ResourceDefinition } from '../registry/resource.js';
import { humanDuration } from './human-duration.js';
import { tableColumns, tableRow } from './table.js';

function resource(group: string, name: string): ResourceDefinition {
  return {
    group,
    version: 'v1',
    kind: 'Any',
    listKind: 'AnyList',
    resource: name,
    singular: name,
    shortNames: [],
    categories: [],
    namespaced: true,
    verbs: [],
    storagePrefix: undefined,
    subresources: [],
  };
}

const now = new Date('2026-01-02T00:00:00Z');
const rbac = 'rbac.authorization.k8s.io';

function object(fields: Record<string, unknown>): KubeObject {
  return {
    kind: 'Any',
    apiVersion: 'v1',
    metadata: { name: 'it', creationTimestamp: '2026-01-01T23:55:00Z' },
    ...fields,
  };
}

const rows: readonly (readonly [string, string, Record<string, unknown>, readonly JsonValue[]])[] = [
  ['', 'secrets', { type: 'Opaque', data: { a: '', b: '' } }, ['it', 'Opaque', 2, '5m']],
  ['', 'configmaps', { data: { a: '' }, binaryData: { b: '' } }, ['it', 2, '5m']],
  ['', 'namespaces', { status: { phase: 'Active' } }, ['it', 'Active', '5m']],
  ['', 'serviceaccounts', {}, ['it', 0, '5m']],
  [rbac, 'roles', {}, ['it', '2026-01-01T23:55:00Z']],
  [
    rbac,
    'rolebindings',
    {
      roleRef: { kind: 'Role', name: 'r' },
      subjects: [
        { kind: 'User', name: 'u' },
        { kind: 'User', name: 'v' },
        { kind: 'ServiceAccount', namespace: 'n', name: 's' },
      ],
    },
    ['it', 'Role/r', '5m', 'u, v', '', 'n/s'],
  ],
  [
    '',
    'events',
    {
      involvedObject: { kind: 'Pod', name: 'p' },
      reason: 'Started',
      type: 'Normal',
      message: ' up\n',
      source: { component: 'kubelet', host: 'h' },
      firstTimestamp: '2026-01-01T23:00:00Z',
      lastTimestamp: '2026-01-01T23:59:50Z',
      count: 3,
    },
    ['10s', 'Normal', 'Started', 'pod/p', '', 'kubelet, h', 'up', '60m', 3, 'it'],
  ],
  ['coordination.k8s.io', 'leases', { spec: { holderIdentity: 'me' } }, ['it', 'me', '5m']],
  ['example.com', 'widgets', {}, ['it', '5m']],
];

describe('tables', () => {
  for (const [group, name, fields, cells] of rows) {
    it(`shows ${name}`, () => {
      const definition = resource(group, name);
      assert.deepEqual(tableRow(definition, object(fields), now).cells, cells);
      assert.equal(tableColumns(definition).length, cells.length);
      assert.equal(tableColumns(definition).filter((column) => column.format === 'name').length, 1);
    });
  }

  it('survives objects that lack everything', () => {
    const bare: KubeObject = { kind: 'Any', apiVersion: 'v1', metadata: {} };
    assert.deepEqual(tableRow(resource('', 'secrets'), bare, now).cells, ['', '', 0, '<unknown>']);
    const definition = resource('', 'events');
    assert.equal(tableRow(definition, bare, now).cells.length, tableColumns(definition).length);
  });
});

describe('human durations', () => {
  const [second, minute, hour, day] = [1, 60, 3600, 86_400];
  for (const [seconds, text] of [
    [-5, '<invalid>'],
    [-1, '0s'],
    [0, '0s'],
    [119 * second, '119s'],
    [2 * minute, '2m'],
    [9 * minute + 59, '9m59s'],
    [10 * minute + 30, '10m'],
    [179 * minute, '179m'],
    [3 * hour, '3h'],
    [7 * hour + 59 * minute, '7h59m'],
    [8 * hour + 59 * minute, '8h'],
    [47 * hour, '47h'],
    [2 * day, '2d'],
    [7 * day + 23 * hour, '7d23h'],
    [8 * day, '8d'],
    [729 * day, '729d'],
    [730 * day, '2y'],
    [731 * day, '2y1d'],
    [8 * 365 * day, '8y'],
  ] as const) {
    it(`${seconds} s is ${text}`, () => assert.equal(humanDuration(seconds * 1000), text));
  }
});
