/** Goal: the keys of a resource are found wherever the registry puts them, and no others. Method: every kind of path, named and by wildcard. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatGroupResource } from '@waxseal/encryption-config';
import { keyspacesOf } from './keyspace.js';

const prefixes = (rules: readonly string[], root = '/registry'): readonly string[] =>
  keyspacesOf(rules, root).map(({ prefix }) => prefix.toString());

test('a resource lies under its name, an older name, or group and name', () => {
  assert.deepEqual(prefixes(['secrets']), ['/registry/secrets/']);
  assert.deepEqual(prefixes(['secrets', 'secrets'], '/other/'), ['/other/secrets/']);
  assert.deepEqual(prefixes(['deployments.apps']), ['/registry/deployments/']);
  assert.deepEqual(prefixes(['nodes']), ['/registry/minions/']);
  assert.deepEqual(prefixes(['ingresses.networking.k8s.io']), ['/registry/ingress/']);
  assert.deepEqual(prefixes(['widgets.example.com']), ['/registry/example.com/widgets/']);
  assert.deepEqual(prefixes(['volumesnapshots.snapshot.storage.k8s.io']), [
    '/registry/snapshot.storage.k8s.io/volumesnapshots/',
  ]);
  assert.deepEqual(prefixes(['services']), ['/registry/ranges/', '/registry/services/specs/']);
  assert.throws(() => keyspacesOf([], '/registry'), { code: 'invalid-option' });
});

test('a wildcard looks at every key and takes what its rules cover', () => {
  const covered = (rules: readonly string[], path: string, value = '{}'): string | undefined => {
    const [space] = keyspacesOf(rules, '/registry');
    const resource = space?.resourceOf(Buffer.from(`/registry/${path}`), Buffer.from(value));
    return resource && formatGroupResource(resource);
  };
  assert.deepEqual(prefixes(['*.apps', 'secrets']), ['/registry/']);
  assert.equal(covered(['*.apps', 'secrets'], 'deployments/ns/a'), 'deployments.apps');
  assert.equal(covered(['*.apps', 'secrets'], 'secrets/ns/a'), 'secrets');
  assert.equal(covered(['*.apps', 'secrets'], 'configmaps/ns/a'), undefined);
  assert.equal(covered(['*.'], 'configmaps/ns/a'), 'configmaps');
  assert.equal(covered(['*.'], 'example.com/widgets/a'), undefined);
  assert.equal(covered(['*.*'], 'example.com/widgets/a'), 'widgets.example.com');
  assert.equal(covered(['*.*'], 'ingress/ns/a'), 'ingresses.networking.k8s.io');
  assert.equal(covered(['*.'], 'ingress/ns/a'), undefined);
  assert.equal(covered(['*.'], 'minions/a'), 'nodes');
});

test('a record that lies in plaintext stays so, whatever the rules: its API server refuses it sealed', () => {
  const sealed = 'k8s:enc:secretbox:v1:k:0123';
  for (const rules of [['services'], ['*.'], ['*.*']]) {
    const spaces = keyspacesOf(rules, '/registry');
    const of = (path: string, value: string): string | undefined => {
      const key = Buffer.from(`/registry/${path}`);
      const space = spaces.find(({ prefix }) => key.subarray(0, prefix.length).equals(prefix));
      const resource = space?.resourceOf(key, Buffer.from(value));
      return resource && formatGroupResource(resource);
    };
    assert.equal(of('ranges/serviceips', 'k8s\0'), undefined);
    assert.equal(of('masterleases/10.0.0.1', 'k8s\0'), undefined);
    assert.equal(of('ranges/serviceips', sealed), 'services');
    assert.equal(of('services/specs/default/kubernetes', '{}'), 'services');
  }
});
