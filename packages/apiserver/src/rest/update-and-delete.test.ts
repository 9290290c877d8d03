/**
 * Goal: update, patch and delete do what kube-apiserver's do, with its codes, reasons and texts.
 * Method: the REST layer over a store, without HTTP.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApiError } from '../errors.js';
import { transformerOf } from './testing/encryption.js';
import { createHarness, type Harness } from './testing/harness.js';

let h: Harness;
before(async () => {
  h = await createHarness();
});
after(() => h.close());

const secret = (name: string, rest: object = {}): object => ({
  metadata: { name },
  stringData: { user: 'admin' },
  ...rest,
});

async function failure(promise: Promise<unknown>): Promise<ApiError> {
  const error: unknown = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  assert.ok(error instanceof ApiError, `expected an ApiError, got ${String(error)}`);
  return error;
}

describe('update', () => {
  test('a stale resourceVersion is a Conflict', async () => {
    const first = await h.create('configmaps', 'default', { metadata: { name: 'u1' }, data: { a: '1' } });
    const second = await h.update('configmaps', 'default', { ...first, data: { a: '2' } });
    assert.notEqual(second.metadata.resourceVersion, first.metadata.resourceVersion);
    const error = await failure(h.update('configmaps', 'default', { ...first, data: { a: '3' } }));
    assert.equal(error.reason, 'Conflict');
    assert.equal(
      error.message,
      'Operation cannot be fulfilled on configmaps "u1": the object has been modified; please apply your changes to the latest version and try again',
    );
  });

  test('without a resourceVersion it always goes', async () => {
    const first = await h.create('configmaps', 'default', { metadata: { name: 'u2' }, data: { a: '1' } });
    delete first.metadata.resourceVersion;
    await h.update('configmaps', 'default', { ...first, data: { a: '2' } });
    const last = await h.update('configmaps', 'default', { ...first, data: { a: '3' } });
    assert.deepEqual(last['data'], { a: '3' });
  });

  test('of many at once with the same version exactly one wins', async () => {
    const first = await h.create('configmaps', 'default', { metadata: { name: 'race' }, data: { n: '' } });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) =>
        h.update('configmaps', 'default', { ...first, data: { n: String(i) } }),
      ),
    );
    assert.equal(outcomes.filter((o) => o.status === 'fulfilled').length, 1);
  });

  test('an update that changes nothing writes nothing', async () => {
    const first = await h.create(
      'secrets',
      'default',
      secret('noop', { metadata: { name: 'noop', labels: { a: 'b', c: 'd' } } }),
    );
    const { type, data, metadata, ...identity } = first;
    const reordered = { type, data, metadata: { ...metadata, labels: { c: 'd', a: 'b' } }, ...identity };
    const same = await h.update('secrets', 'default', reordered);
    assert.equal(same.metadata.resourceVersion, first.metadata.resourceVersion);
  });

  test('an update that changes nothing writes when the stored value is stale', async () => {
    const first = await h.create('secrets', 'default', secret('reseal'));
    h.encryption.use(transformerOf('second', 'first'));
    try {
      assert.deepEqual(await h.get('secrets', 'default', 'reseal'), first);
      const same = await h.update('secrets', 'default', first);
      assert.notEqual(same.metadata.resourceVersion, first.metadata.resourceVersion);
      const stored = await h.stored('/registry/secrets/default/reseal');
      assert.ok(stored?.toString('latin1').startsWith('k8s:enc:aesgcm:v1:second:'));
      const again = await h.update('secrets', 'default', same);
      assert.equal(again.metadata.resourceVersion, same.metadata.resourceVersion);
    } finally {
      h.encryption.use(transformerOf('first', 'second'));
    }
  });

  test('what is immutable stays', async () => {
    const first = await h.create('secrets', 'default', secret('fixed', { immutable: true }));
    const error = await failure(
      h.update('secrets', 'default', { ...first, data: { user: 'eA==' }, type: 'other' }),
    );
    assert.equal(
      error.message,
      'Secret "fixed" is invalid: [type: Invalid value: "other": field is immutable, data: Forbidden: field is immutable when `immutable` is set]',
    );
    const uid = await failure(
      h.update('secrets', 'default', { ...first, metadata: { ...first.metadata, uid: 'other' } }),
    );
    assert.equal(uid.reason, 'Conflict');
    assert.match(uid.message, /Precondition failed: UID in precondition: other, UID in object meta: /);
  });

  test('a secret stored without a type counts as Opaque', async () => {
    await h.store.txn({
      compare: [],
      success: [
        {
          kind: 'put',
          key: Buffer.from('/registry/secrets/default/untyped'),
          value: Buffer.from(
            '{"kind":"Secret","apiVersion":"v1","metadata":{"name":"untyped","namespace":"default","uid":"u"}}',
          ),
        },
      ],
      failure: [],
    });
    const labelled = await h.patch('secrets', 'default', 'untyped', 'merge', {
      metadata: { labels: { a: 'b' } },
    });
    assert.equal(labelled['type'], 'Opaque');
  });

  test('a role binding keeps its role', async () => {
    const binding = await h.create('rolebindings', 'default', {
      metadata: { name: 'rb' },
      subjects: [{ kind: 'User', name: 'u' }],
      roleRef: { kind: 'ClusterRole', name: 'view' },
    });
    assert.deepEqual(binding['subjects'], [
      { kind: 'User', name: 'u', apiGroup: 'rbac.authorization.k8s.io' },
    ]);
    const error = await failure(
      h.update('rolebindings', 'default', {
        ...binding,
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'edit' },
      }),
    );
    assert.match(error.message, /roleRef: Invalid value: .*: cannot change roleRef$/);
  });

  test('a missing secret is NotFound, a missing role is created', async () => {
    const object = { kind: 'Secret', apiVersion: 'v1', metadata: { name: 'none' } };
    assert.equal((await failure(h.update('secrets', 'default', object))).code, 404);
    const role = await h.update('roles', 'default', {
      kind: 'Role',
      apiVersion: 'rbac.authorization.k8s.io/v1',
      metadata: { name: 'by-put' },
      rules: [],
    });
    assert.notEqual(role.metadata.uid, undefined);
  });

  test('rights nobody holds are not granted', async () => {
    const user = { name: 'mallory', uid: '', groups: ['system:authenticated'], extra: {} };
    const rules = [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }];
    const error = await failure(
      h.create('roles', 'default', { metadata: { name: 'grab' }, rules }, { user }),
    );
    assert.equal(error.code, 403);
    assert.match(error.message, /is attempting to grant RBAC permissions not currently held/);
  });
});

describe('patch', () => {
  test('JSON, merge and strategic merge patches', async () => {
    await h.create('configmaps', 'default', { metadata: { name: 'p' }, data: { a: '1', b: '2' } });
    const merged = await h.patch('configmaps', 'default', 'p', 'merge', { data: { a: null, c: '3' } });
    assert.deepEqual(merged['data'], { b: '2', c: '3' });
    const json = await h.patch('configmaps', 'default', 'p', 'json', [
      { op: 'replace', path: '/data/b', value: 'x' },
    ]);
    assert.deepEqual(json['data'], { b: 'x', c: '3' });
    const strategic = await h.patch('configmaps', 'default', 'p', 'strategic', {
      metadata: { labels: { l: 'v' } },
    });
    assert.deepEqual(strategic.metadata.labels, { l: 'v' });
    assert.deepEqual((await h.get('configmaps', 'default', 'p'))['data'], { b: 'x', c: '3' });
  });

  test('patches at once are all applied, one that names a version is not', async () => {
    const first = await h.create('configmaps', 'default', { metadata: { name: 'many' } });
    await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        h.patch('configmaps', 'default', 'many', 'merge', { data: { [`k${i}`]: '' } }),
      ),
    );
    const after = await h.get('configmaps', 'default', 'many');
    assert.equal(Object.keys(after['data'] as object).length, 10);
    const error = await failure(
      h.patch('configmaps', 'default', 'many', 'merge', {
        metadata: { resourceVersion: first.metadata.resourceVersion as string },
        data: { z: '' },
      }),
    );
    assert.equal(error.reason, 'Conflict');
  });

  test('an unknown field or a wrong type is Invalid, a missing object NotFound', async () => {
    await h.create('secrets', 'default', secret('strict'));
    const unknown = await failure(h.patch('secrets', 'default', 'strict', 'merge', { nonsense: 'PLANTED' }));
    assert.equal(unknown.code, 422);
    assert.match(unknown.message, /strict decoding error: unknown field "nonsense"/);
    const wrong = await failure(
      h.patch('secrets', 'default', 'strict', 'merge', { data: { a: ['PLANTED'] } }),
    );
    assert.equal(wrong.code, 422);
    for (const error of [unknown, wrong]) {
      assert.equal(JSON.stringify(error.toStatus()).includes('PLANTED'), false);
    }
    assert.equal((await failure(h.patch('secrets', 'default', 'absent', 'merge', {}))).code, 404);
  });
});

describe('delete', () => {
  test('answers with a Status that names what went', async () => {
    const made = await h.create('secrets', 'default', secret('gone'));
    const status = await h.delete('secrets', 'default', 'gone');
    assert.deepEqual(status, {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Success',
      details: { name: 'gone', kind: 'secrets', uid: made.metadata.uid },
    });
    assert.equal((await failure(h.delete('secrets', 'default', 'gone'))).code, 404);
  });

  test('preconditions hold', async () => {
    const made = await h.create('secrets', 'default', secret('pre'));
    const uid = await failure(h.delete('secrets', 'default', 'pre', { preconditions: { uid: 'x' } }));
    assert.equal(
      uid.message,
      `Operation cannot be fulfilled on Secret "pre": the UID in the precondition (x) does not match the UID in record (${made.metadata.uid}). The object might have been deleted and then recreated`,
    );
    const version = await failure(
      h.delete('secrets', 'default', 'pre', { preconditions: { resourceVersion: '1' } }),
    );
    assert.equal(version.reason, 'Conflict');
    await h.delete('secrets', 'default', 'pre', {
      preconditions: {
        uid: made.metadata.uid,
        resourceVersion: made.metadata.resourceVersion,
      },
    });
  });

  test('finalizers hold an object until the last is gone', async () => {
    await h.create('configmaps', 'default', {
      metadata: { name: 'held', finalizers: ['example.com/hold'] },
    });
    const waiting = await h.delete('configmaps', 'default', 'held');
    assert.match(waiting.metadata.deletionTimestamp ?? '', /Z$/);
    assert.equal(waiting.metadata.deletionGracePeriodSeconds, 0);
    const exists = await failure(h.create('configmaps', 'default', { metadata: { name: 'held' } }));
    assert.equal(exists.message, 'object is being deleted: configmaps "held" already exists');
    const added = await failure(
      h.patch('configmaps', 'default', 'held', 'merge', {
        metadata: { finalizers: ['example.com/hold', 'example.com/more'] },
      }),
    );
    assert.match(added.message, /no new finalizers can be added if the object is being deleted/);
    await h.patch('configmaps', 'default', 'held', 'merge', { metadata: { finalizers: null } });
    assert.equal((await failure(h.get('configmaps', 'default', 'held'))).code, 404);
  });

  test('dry run deletes nothing', async () => {
    await h.create('secrets', 'default', secret('kept'));
    await h.delete('secrets', 'default', 'kept', { dryRun: true });
    await h.get('secrets', 'default', 'kept');
  });

  test('a collection goes by selector', async () => {
    for (const [name, l] of [
      ['c1', 'x'],
      ['c2', 'x'],
      ['c3', 'y'],
    ] as const) {
      await h.create('serviceaccounts', 'kube-public', { metadata: { name, labels: { l } } });
    }
    const response = await h.raw({
      verb: 'deletecollection',
      resource: h.resource('serviceaccounts'),
      namespace: 'kube-public',
      labelSelector: 'l=x',
      options: { dryRun: false, preconditions: {}, propagationPolicy: '' },
    });
    assert.equal(response.kind === 'list' && response.items.length, 2);
    const left = await h.list('serviceaccounts', 'kube-public', { labelSelector: 'l' });
    assert.deepEqual(left.names, ['c3']);
  });
});
