import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseObjectPath } from './object-path.js';

test('a key names its resource as an EncryptionConfiguration writes it', () => {
  const cases: readonly [string, string, string, string, string][] = [
    ['/registry/secrets/default/db', '', 'secrets', 'default', 'db'],
    ['/registry/deployments/web/front', 'apps', 'deployments', 'web', 'front'],
    ['/registry/services/specs/default/kubernetes', '', 'services', 'default', 'kubernetes'],
    ['/registry/services/endpoints/default/kubernetes', '', 'endpoints', 'default', 'kubernetes'],
    ['/registry/minions/node-1', '', 'nodes', '', 'node-1'],
    ['/registry/clusterroles/system:node', 'rbac.authorization.k8s.io', 'clusterroles', '', 'system:node'],
    ['/registry/cert-manager.io/issuers/web/ca', 'cert-manager.io', 'issuers', 'web', 'ca'],
    [
      '/registry/apiextensions.k8s.io/customresourcedefinitions/issuers.cert-manager.io',
      'apiextensions.k8s.io',
      'customresourcedefinitions',
      '',
      'issuers.cert-manager.io',
    ],
    ['/registry/somethingnew/default/a', '', 'somethingnew', 'default', 'a'],
  ];
  for (const [key, group, resource, namespace, name] of cases) {
    const path = parseObjectPath(key, '/registry');
    assert.deepEqual(
      { group: path?.group, resource: path?.resource, namespace: path?.namespace, name: path?.name },
      { group, resource, namespace, name },
    );
  }
});

test('a key that names no object is told apart', () => {
  for (const key of [
    '/registry/secrets',
    '/registry/',
    '/other/secrets/a/b',
    'compact_rev_key',
    '/registry/a/b/c/d/e',
  ])
    assert.equal(parseObjectPath(key, '/registry/'), undefined, key);
});
