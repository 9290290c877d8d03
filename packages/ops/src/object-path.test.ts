/** Goal: a key is known for what kube-apiserver keeps there. Method: its layout by hand, and every kind of Kubernetes against the table. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findType } from '@waxseal/api-types';
import { EnvelopeError, type Transformer } from '@waxseal/envelope';
import { parseObjectPath, pathOf, readerOf, ruleOf } from './object-path.js';
import { builtInResources, registryRecords } from './registry-table.js';

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
    [
      '/registry/apiregistration.k8s.io/apiservices/v1.apps',
      'apiregistration.k8s.io',
      'apiservices',
      '',
      'v1.apps',
    ],
    ['/registry/controllers/default/rc', '', 'replicationcontrollers', 'default', 'rc'],
    ['/registry/events/default/e.17', '', 'events', 'default', 'e.17'],
    ['/registry/ingress/default/web', 'networking.k8s.io', 'ingresses', 'default', 'web'],
    ['/registry/leases/kube-node-lease/n', 'coordination.k8s.io', 'leases', 'kube-node-lease', 'n'],
    ['/registry/ipaddresses/10.0.0.1', 'networking.k8s.io', 'ipaddresses', '', '10.0.0.1'],
    [
      '/registry/validatingadmissionpolicies/p',
      'admissionregistration.k8s.io',
      'validatingadmissionpolicies',
      '',
      'p',
    ],
    ['/registry/podsecuritypolicy/p', 'policy', 'podsecuritypolicies', '', 'p'],
    ['/registry/ranges/serviceips', '', 'ranges', '', 'serviceips'],
    ['/registry/masterleases/10.0.0.1', '', 'masterleases', '', '10.0.0.1'],
    ['/registry/secrets/a/b/c/d', '', 'secrets', 'a', 'b/c/d'],
    ['/registry/services/specs/a/b/c', '', 'services', 'a', 'b/c'],
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
    '/registry/secrets/a/b/',
  ])
    assert.equal(parseObjectPath(key, '/registry/'), undefined, key);
});

test('every resource is found where it lies, and has one place', () => {
  for (const [path, group, resource] of builtInResources) {
    assert.equal(pathOf({ group, resource }), path);
    const found = parseObjectPath(`/registry/${path}/a`, '/registry');
    assert.deepEqual([found?.group, found?.resource, found?.name], [group, resource, 'a']);
  }
  const paths = [...builtInResources.map(([path]) => path), ...registryRecords.map(({ path }) => path)];
  assert.equal(new Set(paths).size, paths.length);
  assert.equal(pathOf({ group: 'example.com', resource: 'widgets' }), 'example.com/widgets');
});

test('every kind of the table is one of Kubernetes, in its group', () => {
  const versions = ['v1', 'v2', 'v1beta2', 'v1beta1', 'v1alpha3', 'v1alpha2', 'v1alpha1'];
  const unknown = builtInResources
    .filter(([, group, , kind]) => !versions.some((version) => findType(group, version, kind) !== undefined))
    .map(([, , , kind]) => kind);
  assert.deepEqual(unknown, [
    'CustomResourceDefinition',
    'APIService',
    'AuditSink',
    'ClusterCIDR',
    'PodPreset',
    'PodSchedulingContext',
    'PodSecurityPolicy',
    'ResourceClaimParameters',
    'ResourceClass',
    'ResourceClassParameters',
  ]);
});

test('plaintext records are under no rule, sealed ones under that of the release that sealed them', () => {
  const path = parseObjectPath('/registry/ranges/serviceips', '/registry');
  assert.ok(path);
  const sealed = Buffer.from('k8s:enc:aescbc:v1:k:0123');
  const plain = Buffer.from('k8s\0');
  assert.equal(ruleOf(path, plain), undefined);
  assert.deepEqual(ruleOf(path, sealed), { group: '', resource: 'services' });
  const refusing: Transformer = {
    transformFromStorage: () => {
      throw new EnvelopeError('encrypted-data', 'refused');
    },
    transformToStorage: (data) => data,
  };
  assert.deepEqual(readerOf(path, plain, () => refusing).transformFromStorage(plain, Buffer.from('')), {
    data: plain,
    stale: false,
  });
  assert.equal(
    readerOf(path, sealed, () => refusing),
    refusing,
  );
});
