/**
 * Goal: namespaces live and die, service accounts appear, dependents follow their owners.
 * Method: the REST layer with its controllers over a store; each test waits for the outcome, never for a time.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { KubeObject, OwnerReference } from '@waxseal/api-types';
import { ApiError } from '../errors.js';
import { SYSTEM_NAMESPACES } from './bootstrap.js';
import { createHarness, type Harness } from './testing/harness.js';

let h: Harness;
before(async () => {
  h = await createHarness();
});
after(() => h.close());

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  return error instanceof ApiError ? error.reason : '';
}

const gone = (resource: string, namespace: string, name: string): Promise<true> =>
  h.until(async () => ((await reasonOf(h.get(resource, namespace, name))) === 'NotFound' ? true : undefined));

async function namespace(name: string): Promise<KubeObject> {
  return h.create('namespaces', '', { metadata: { name } });
}

describe('namespaces', () => {
  test('a cluster starts with its own', async () => {
    assert.deepEqual((await h.list('namespaces', '')).names, [...SYSTEM_NAMESPACES]);
    const roles = await h.list('clusterroles', '');
    assert.ok(['admin', 'cluster-admin', 'edit', 'view'].every((name) => roles.names.includes(name)));
  });

  test('are labelled with their name, active, and hold the kubernetes finalizer', async () => {
    const made = await namespace('n-new');
    assert.deepEqual(made.metadata.labels, { 'kubernetes.io/metadata.name': 'n-new' });
    assert.deepEqual(made['spec'], { finalizers: ['kubernetes'] });
    assert.deepEqual(made['status'], { phase: 'Active' });
  });

  test('get a default service account, again when it is deleted', async () => {
    await namespace('n-sa');
    const find = async (): Promise<KubeObject | undefined> =>
      (await h.list('serviceaccounts', 'n-sa')).items.find((i) => i.metadata.name === 'default');
    const first = await h.until(find);
    await h.delete('serviceaccounts', 'n-sa', 'default');
    const second = await h.until(find);
    assert.notEqual(second.metadata.uid, first.metadata.uid);
  });

  test('are emptied when deleted, and admit nothing meanwhile', async () => {
    await namespace('n-gone');
    for (let i = 0; i < 40; i++) await h.create('secrets', 'n-gone', { metadata: { name: `s${i}` } });
    await h.create('configmaps', 'n-gone', {
      metadata: { name: 'holds', finalizers: ['example.com/hold'] },
    });
    const deleting = await h.delete('namespaces', '', 'n-gone');
    assert.deepEqual(deleting['status'], { phase: 'Terminating' });
    assert.notEqual(deleting.metadata.deletionTimestamp, undefined);
    await assert.rejects(
      h.create('secrets', 'n-gone', { metadata: { name: 'late' } }),
      (error: ApiError) =>
        error.code === 403 &&
        error.message ===
          'secrets "late" is forbidden: unable to create new content in namespace n-gone because it is being terminated' &&
        error.details?.causes?.[0]?.reason === 'NamespaceTerminating',
    );
    await h.until(async () => ((await h.list('secrets', 'n-gone')).names.length === 0 ? true : undefined));
    // The one with a finalizer keeps the namespace.
    const waiting = await h.until(async () => {
      const held = await h.get('configmaps', 'n-gone', 'holds');
      return held.metadata.deletionTimestamp === undefined ? undefined : held;
    });
    await h.get('namespaces', '', 'n-gone');
    delete waiting.metadata.finalizers;
    await h.update('configmaps', 'n-gone', waiting);
    await gone('namespaces', '', 'n-gone');
    assert.equal((await h.store.range({ key: Buffer.from('/registry/configmaps/n-gone/holds') })).count, 0);
    // The name is free again.
    await namespace('n-gone');
    await h.create('secrets', 'n-gone', { metadata: { name: 'anew' } });
  });

  test('the system ones cannot be deleted', async () => {
    await assert.rejects(
      h.delete('namespaces', '', 'default'),
      (error: ApiError) =>
        error.code === 403 &&
        error.message === 'namespaces "default" is forbidden: this namespace may not be deleted',
    );
  });

  test('status and finalize change their part only', async () => {
    const made = await namespace('n-parts');
    const status = { ...made, status: { phase: 'Active', conditions: [] }, spec: {} };
    const updated = await h.update('namespaces', '', status, { subresource: 'status' });
    assert.deepEqual(updated['spec'], { finalizers: ['kubernetes'] });
    const finalized = await h.update(
      'namespaces',
      '',
      { ...updated, spec: { finalizers: ['kubernetes', 'example.com/also'] } },
      { subresource: 'finalize' },
    );
    assert.deepEqual(finalized['spec'], { finalizers: ['kubernetes', 'example.com/also'] });
    assert.equal(
      await reasonOf(
        h.update(
          'namespaces',
          '',
          { ...finalized, status: { phase: 'Terminating' } },
          { subresource: 'status' },
        ),
      ),
      'Invalid',
    );
  });

  test('a create and a delete of the namespace at once never leave an object behind', async () => {
    for (let round = 0; round < 10; round++) {
      const name = `n-race-${round}`;
      await namespace(name);
      await Promise.allSettled([
        ...Array.from({ length: 5 }, (_, i) => h.create('secrets', name, { metadata: { name: `s${i}` } })),
        h.delete('namespaces', '', name),
        ...Array.from({ length: 5 }, (_, i) => h.create('secrets', name, { metadata: { name: `t${i}` } })),
      ]);
      await gone('namespaces', '', name);
      const left = await h.store.range({
        key: Buffer.from(`/registry/secrets/${name}/`),
        rangeEnd: Buffer.from(`/registry/secrets/${name}0`),
      });
      assert.equal(left.count, 0);
    }
  });
});

describe('dependents', () => {
  const owned = (owner: KubeObject, block = true): { ownerReferences: OwnerReference[] } => ({
    ownerReferences: [
      {
        apiVersion: owner.apiVersion,
        kind: owner.kind,
        name: owner.metadata.name ?? '',
        uid: owner.metadata.uid ?? '',
        blockOwnerDeletion: block,
      },
    ],
  });
  const configMap = (name: string, metadata: object = {}): Promise<KubeObject> =>
    h.create('configmaps', 'default', { metadata: { name, ...metadata } });

  test('go after their owner, to the last generation', async () => {
    const owner = await configMap('bg-owner');
    const child = await configMap('bg-child', owned(owner));
    await h.create('secrets', 'default', { metadata: { name: 'bg-grandchild', ...owned(child) } });
    await h.delete('configmaps', 'default', 'bg-owner');
    await gone('secrets', 'default', 'bg-grandchild');
    await gone('configmaps', 'default', 'bg-child');
  });

  test('stay while another owner is there', async () => {
    const one = await configMap('two-one');
    const other = await configMap('two-other');
    await configMap('two-child', {
      ownerReferences: [...owned(one).ownerReferences, ...owned(other).ownerReferences],
    });
    await h.delete('configmaps', 'default', 'two-one');
    await h.rest.collected();
    const child = await h.get('configmaps', 'default', 'two-child');
    assert.deepEqual(
      child.metadata.ownerReferences?.map((r) => r.name),
      ['two-other'],
    );
  });

  test('stay without an owner when orphaned', async () => {
    const owner = await configMap('or-owner');
    await configMap('or-child', owned(owner));
    await h.delete('configmaps', 'default', 'or-owner', { propagationPolicy: 'Orphan' });
    await gone('configmaps', 'default', 'or-owner');
    const child = await h.get('configmaps', 'default', 'or-child');
    assert.equal(child.metadata.ownerReferences, undefined);
  });

  test('go before their owner in the foreground', async () => {
    const owner = await configMap('fg-owner');
    await configMap('fg-child', { ...owned(owner), finalizers: ['example.com/hold'] });
    const waiting = await h.delete('configmaps', 'default', 'fg-owner', { propagationPolicy: 'Foreground' });
    assert.deepEqual(waiting.metadata.finalizers, ['foregroundDeletion']);
    const child = await h.until(async () => {
      const now = await h.get('configmaps', 'default', 'fg-child');
      return now.metadata.deletionTimestamp === undefined ? undefined : now;
    });
    await h.get('configmaps', 'default', 'fg-owner');
    delete child.metadata.finalizers;
    delete child.metadata.resourceVersion;
    await h.update('configmaps', 'default', child);
    await gone('configmaps', 'default', 'fg-owner');
  });

  test('of an owner of a kind that is not served here are left alone', async () => {
    await configMap('pod-child', {
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' }],
    });
    const owner = await configMap('pod-other');
    await h.delete('configmaps', 'default', owner.metadata.name ?? '');
    await h.rest.collected();
    await h.get('configmaps', 'default', 'pod-child');
  });
});

test('a second start keeps everything and finishes what was begun', async () => {
  const path = await mkdtemp(join(tmpdir(), 'waxseal-restart-'));
  const first = await createHarness({ path });
  await first.create('namespaces', '', { metadata: { name: 'kept' } });
  await first.create('namespaces', '', { metadata: { name: 'dying' } });
  const made = await first.create('secrets', 'kept', { metadata: { name: 's' }, stringData: { a: 'b' } });
  await first.create('secrets', 'dying', { metadata: { name: 's' } });
  const roles = await first.list('clusterroles', '');
  await first.delete('namespaces', '', 'dying');
  await first.close();

  const second = await createHarness({ path });
  assert.deepEqual(await second.get('secrets', 'kept', 's'), made);
  assert.deepEqual((await second.list('clusterroles', '')).items, roles.items);
  await second.until(async () => {
    const { names } = await second.list('namespaces', '');
    return names.includes('dying') ? undefined : true;
  });
  assert.deepEqual((await second.list('secrets', 'dying')).names, []);
  await second.close();
  await rm(path, { recursive: true });
});

test('events carry a lease, so that they vanish', async () => {
  const event = {
    metadata: { name: 'e.1' },
    involvedObject: { kind: 'Secret', namespace: 'default', name: 's' },
    reason: 'Tested',
  };
  await h.create('events', 'default', event);
  const { kv } = await h.store.get(Buffer.from('/registry/events/default/e.1'));
  assert.notEqual(kv?.lease, 0n);
  const status = await h.store.leaseTimeToLive(kv?.lease ?? 0n, false);
  assert.equal(status.grantedTtlSeconds, 3660);
  const found = await h.list('events', 'default', {
    fieldSelector: 'involvedObject.kind=Secret,involvedObject.name=s,reason=Tested',
  });
  assert.deepEqual(found.names, ['e.1']);
});
