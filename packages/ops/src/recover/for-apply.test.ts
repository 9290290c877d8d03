/** Goal: what is applied to another cluster is taken there, and nothing of the user's is lost. Method: objects of each rule. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '@waxseal/api-types';
import { parseObjectPath } from '../object-path.js';
import { forApply, withoutServerFields } from './for-apply.js';

const apply = (key: string, object: JsonObject): JsonObject | undefined => {
  const path = parseObjectPath(`/registry/${key}`, '/registry');
  assert.ok(path);
  return forApply(object, path);
};
const server = { uid: 'u', resourceVersion: '7', creationTimestamp: 't', generation: 2, managedFields: [] };
const owner = (apiVersion: string, kind: string, controller: boolean) => ({
  ownerReferences: [{ apiVersion, kind, name: 'o', uid: 'u', controller }],
});

test('what only servers set goes, what users set stays', () => {
  const users = {
    name: 'a',
    namespace: 'n',
    labels: { l: '1' },
    annotations: { a: '2' },
    finalizers: ['f/f'],
  };
  const object = { apiVersion: 'v1', kind: 'Secret', metadata: { ...users, ...server }, data: { k: 'dg==' } };
  assert.deepEqual(withoutServerFields({ ...object, status: { x: 1 } }), { ...object, metadata: users });
  assert.deepEqual(apply('secrets/n/a', object), { ...object, metadata: users });
  assert.deepEqual(withoutServerFields({ kind: 'Odd' }), { kind: 'Odd' });
});

test('what the next cluster makes itself is left out', () => {
  for (const [key, metadata] of [
    ['ranges/serviceips', {}],
    ['masterleases/10.0.0.1', {}],
    ['events/n/e', {}],
    ['minions/n', {}],
    ['leases/kube-node-lease/n', {}],
    ['configmaps/n/kube-root-ca.crt', {}],
    ['services/specs/default/kubernetes', {}],
    ['services/endpoints/default/kubernetes', {}],
    [
      'apiregistration.k8s.io/apiservices/v1.apps',
      { labels: { 'kube-aggregator.kubernetes.io/automanaged': 'true' } },
    ],
    ['pods/n/web-1', owner('apps/v1', 'ReplicaSet', true)],
    ['replicasets/n/web', owner('apps/v1', 'Deployment', true)],
    ['jobs/n/nightly-1', owner('batch/v1', 'CronJob', true)],
    ['endpointslices/n/web-1', owner('v1', 'Service', true)],
  ] as const) {
    assert.equal(apply(key, { metadata }), undefined, key);
  }
});

test('what only the old cluster’s data can give stays, without its owners', () => {
  for (const [key, metadata] of [
    ['pods/n/alone', {}],
    ['pods/n/operated', owner('example.com/v1', 'StatefulSet', true)],
    ['pods/n/watched', owner('apps/v1', 'ReplicaSet', false)],
    ['configmaps/n/of-deployment', owner('apps/v1', 'Deployment', true)],
    ['secrets/n/tls', owner('cert-manager.io/v1', 'Certificate', true)],
    ['services/specs/n/kubernetes', {}],
    ['apiregistration.k8s.io/apiservices/v1.example.com', {}],
  ] as const) {
    assert.deepEqual(apply(key, { metadata }), { metadata: {} }, key);
  }
});

test('kinds lose what ties them to the old cluster', () => {
  assert.deepEqual(
    apply('services/specs/n/web', { spec: { clusterIP: '10.0.0.9', clusterIPs: ['10.0.0.9'], ports: [] } }),
    { spec: { ports: [] } },
  );
  const headless = { spec: { clusterIP: 'None', clusterIPs: ['None'] } };
  assert.deepEqual(apply('services/specs/n/db', headless), headless);
  assert.deepEqual(apply('pods/n/p', { spec: { nodeName: 'n1', containers: [] } }), {
    spec: { containers: [] },
  });
  assert.deepEqual(
    apply('persistentvolumes/v', {
      spec: { claimRef: { name: 'c', namespace: 'n', uid: 'u', resourceVersion: '1' } },
    }),
    { spec: { claimRef: { name: 'c', namespace: 'n' } } },
  );
  assert.deepEqual(
    apply('persistentvolumeclaims/n/c', {
      metadata: { annotations: { 'pv.kubernetes.io/bind-completed': 'yes', own: '1' } },
      spec: { volumeName: 'v' },
    }),
    { metadata: { annotations: { own: '1' } }, spec: { volumeName: 'v' } },
  );
  const labels = { 'controller-uid': 'u', 'batch.kubernetes.io/controller-uid': 'u', app: 'a' };
  const job = { metadata: { labels }, spec: { selector: {}, template: { metadata: { labels } } } };
  assert.deepEqual(apply('jobs/n/j', job), {
    metadata: { labels: { app: 'a' } },
    spec: { template: { metadata: { labels: { app: 'a' } } } },
  });
  const manual = { spec: { manualSelector: true, selector: { matchLabels: { app: 'a' } } } };
  assert.deepEqual(apply('jobs/n/j', manual), manual);
  assert.deepEqual(
    apply('secrets/n/token', {
      type: 'kubernetes.io/service-account-token',
      metadata: {
        annotations: { 'kubernetes.io/service-account.name': 's', 'kubernetes.io/service-account.uid': 'u' },
      },
      data: { token: 'x' },
    }),
    {
      type: 'kubernetes.io/service-account-token',
      metadata: { annotations: { 'kubernetes.io/service-account.name': 's' } },
    },
  );
});
