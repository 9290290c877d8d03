/** Goal: the registry knows the kinds a cluster may hold. Method: every table is parsed and every reference followed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { packageTexts } from './data/packages.js';
import { parseTypeTable } from './type-table.js';
import { findType, splitApiVersion, type ObjectType } from './types.js';

describe('type registry', () => {
  for (const [apiVersion, kind] of [
    ['v1', 'Secret'],
    ['v1', 'SecretList'],
    ['v1', 'Status'],
    ['v1', 'DeleteOptions'],
    ['v1', 'WatchEvent'],
    ['v1', 'List'],
    ['meta.k8s.io/v1', 'PartialObjectMetadata'],
    ['policy/v1', 'DeleteOptions'],
    ['apps/v1', 'Deployment'],
    ['batch/v1', 'CronJob'],
    ['networking.k8s.io/v1', 'Ingress'],
    ['rbac.authorization.k8s.io/v1', 'ClusterRole'],
    ['admissionregistration.k8s.io/v1', 'ValidatingAdmissionPolicy'],
    ['storage.k8s.io/v1', 'CSIDriver'],
    ['flowcontrol.apiserver.k8s.io/v1', 'FlowSchema'],
  ] as const) {
    it(`knows ${apiVersion} ${kind}`, () => {
      const { group, version } = splitApiVersion(apiVersion);
      assert.equal(findType(group, version, kind)?.name, kind);
    });
  }

  it('knows no kind that is none', () => {
    assert.equal(findType('', 'v1', 'PodSpec'), undefined);
    assert.equal(findType('', 'v2', 'Secret'), undefined);
    assert.equal(findType('apps', 'v1', 'Status'), undefined);
    assert.equal(findType('example.com', 'v1', 'Widget'), undefined);
    assert.equal(findType('', 'v1', '__proto__'), undefined);
  });

  it('resolves every reference of every table', () => {
    const seen = new Set<ObjectType>();
    const visit = (type: ObjectType): void => {
      if (seen.has(type)) return;
      seen.add(type);
      assert.equal(
        new Set(type.fields.map(({ number }) => number)).size,
        type.fields.length,
        type.definition,
      );
      for (const field of type.fields) {
        assert.ok(field.number > 0 && field.name !== '', `${type.definition}.${field.name}`);
        if (field.type !== undefined) visit(field.type);
      }
    };
    for (const { group, version, text } of packageTexts) {
      for (const row of parseTypeTable(text).values()) {
        const type = findType(group, version, row.name);
        if (type !== undefined) visit(type);
      }
    }
    assert.ok(seen.size > 700, `${seen.size} types`);
  });

  it('carries what strategic patches need', () => {
    const containers = findType('', 'v1', 'Pod')
      ?.fieldsByName.get('spec')
      ?.type?.fieldsByName.get('containers');
    assert.equal(containers?.patchMergeKey, 'name');
    assert.deepEqual(containers?.patchStrategies, ['merge']);
    assert.deepEqual(containers?.listMapKeys, ['name']);
  });
});
