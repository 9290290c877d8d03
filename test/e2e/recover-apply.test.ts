/**
 * Goal: a cluster comes back from its snapshot in another one, without edits. Method: kubectl makes objects in one server, etcdctl takes the
 * snapshot through the etcd front, and what `waxseal recover --for-apply` prints is applied by kubectl to an empty server and compared.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { clientsOf, run } from '../support/programs.js';
import { launcher, startUp, temporaryFolder, type UpReady } from '../support/waxseal.js';

const named = (name: string) => ({ name, namespace: 'shop', labels: { app: 'shop' } });
const objects = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
  { apiVersion: 'v1', kind: 'Secret', metadata: named('db'), data: { password: 'aHVudGVyMg==' } },
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: named('app'), data: { 'a.yaml': 'on: yes\nno: 0x10\n' } },
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: named('app') },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: named('reader'),
    rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: named('reader'),
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
    subjects: [{ kind: 'ServiceAccount', name: 'app', namespace: 'shop' }],
  },
];
const KINDS = 'secrets,configmaps,serviceaccounts,roles,rolebindings';

/** What users wrote of everything in the namespace, by kind and name. */
async function written(ready: UpReady): Promise<readonly unknown[]> {
  const text = await clientsOf(ready).kubectl(['get', KINDS, '-n', 'shop', '-o', 'json']);
  const { items } = JSON.parse(text) as { readonly items: readonly Readonly<Record<string, unknown>>[] };
  return items.map(({ metadata, ...rest }) => {
    const { name, namespace, labels } = metadata as Readonly<Record<string, unknown>>;
    return { ...rest, metadata: { name, namespace, labels } };
  });
}

test('a snapshot is applied to an empty server and is the same', async (t) => {
  const folder = await temporaryFolder(t);
  const old = await startUp(join(folder, 'old'));
  t.after(() => old.stop());
  const { kubectl, etcdctl } = clientsOf(old.ready);
  await kubectl(['apply', '-f', '-'], {
    stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
  });
  const snapshot = join(folder, 'backup.db');
  await etcdctl(['snapshot', 'save', snapshot]);

  const config = ['--snapshot', snapshot, '--encryption-config', old.ready.encryptionConfig];
  const recovered = await run(process.execPath, [launcher, 'recover', ...config, '--for-apply']);
  assert.equal(recovered.code, 0, recovered.stderr);
  const kinds = [...recovered.stdout.matchAll(/^kind: (\w+)$/gm)].map(([, kind]) => kind);
  const firstOf = (kind: string): number => kinds.indexOf(kind);
  assert.ok(kinds.lastIndexOf('Namespace') < firstOf('ServiceAccount'));
  assert.ok(kinds.lastIndexOf('ServiceAccount') < firstOf('Secret'));
  assert.doesNotMatch(recovered.stdout, /^ {2}(uid|creationTimestamp|managedFields|resourceVersion):/m);

  const next = await startUp(join(folder, 'next'));
  t.after(() => next.stop());
  await clientsOf(next.ready).kubectl(['apply', '-f', '-'], { stdin: recovered.stdout });
  const before = await written(old.ready);
  assert.ok(before.length >= objects.length - 1);
  assert.deepEqual(await written(next.ready), before);
});
