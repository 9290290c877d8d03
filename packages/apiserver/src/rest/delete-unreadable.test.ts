/**
 * Goal: what can no longer be read can be removed by who may, and nothing else can be removed that way.
 * Method: stored values under a key that is gone, and values that are no objects, over a real store.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ApiError } from '../errors.js';
import type { UserInfo } from './contract.js';
import { transformerOf } from './testing/encryption.js';
import { createHarness, type Harness } from './testing/harness.js';

const UNSAFE = { ignoreStoreReadErrorWithClusterBreakingPotential: true };

let h: Harness;
before(async () => {
  h = await createHarness();
});
after(() => h.close());

const put = (key: string, value: Buffer): Promise<unknown> =>
  h.store.txn({
    compare: [],
    success: [{ kind: 'put', key: Buffer.from(key), value, lease: 0n }],
    failure: [],
  });

async function sealUnderLostKey(key: string): Promise<void> {
  const object = { kind: 'Secret', apiVersion: 'v1', metadata: { name: 'x', finalizers: ['a.b/c'] } };
  const sealed = transformerOf('lost').transformToStorage(
    Buffer.from(JSON.stringify(object)),
    Buffer.from(key),
  );
  await put(key, await sealed);
}

const failsWith = (code: number, message: RegExp) => (error: ApiError) => {
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
};

describe('deleting what cannot be read', () => {
  test('needs the option; then neither a lost key nor a finalizer holds it', async () => {
    await sealUnderLostKey('/registry/secrets/default/lost');
    await assert.rejects(
      h.delete('secrets', 'default', 'lost'),
      failsWith(500, /unable to transform key "\/registry\/secrets\/default\/lost"/),
    );
    const status = (await h.delete('secrets', 'default', 'lost', UNSAFE)) as unknown;
    assert.deepEqual(status, {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Success',
      details: { name: 'lost', kind: 'Secret' },
      code: 200,
    });
    assert.equal(await h.stored('/registry/secrets/default/lost'), undefined);
  });

  test('an opened value that is no object goes too', async () => {
    const key = '/registry/secrets/default/nonsense';
    await put(key, await transformerOf('first').transformToStorage(Buffer.from('{}'), Buffer.from(key)));
    await h.delete('secrets', 'default', 'nonsense', UNSAFE);
    assert.equal(await h.stored(key), undefined);
  });

  test('what can be read, or is not there, is refused', async () => {
    await h.create('secrets', 'default', { metadata: { name: 'fine' } });
    for (const name of ['fine', 'missing']) {
      await assert.rejects(
        h.delete('secrets', 'default', name, UNSAFE),
        failsWith(
          422,
          new RegExp(
            `secrets "${name}" is invalid: ignoreStoreReadErrorWithClusterBreakingPotential: Invalid value: true: is exclusively used to delete corrupt object\\(s\\)`,
          ),
        ),
      );
    }
    await h.get('secrets', 'default', 'fine');
  });

  test('needs a right of its own', async () => {
    await sealUnderLostKey('/registry/secrets/default/guarded');
    const user: UserInfo = { name: 'ann', uid: '', groups: [], extra: {} };
    const ask = (): Promise<unknown> =>
      h.raw({
        verb: 'delete',
        resource: h.resource('secrets'),
        namespace: 'default',
        name: 'guarded',
        user,
        options: { dryRun: false, preconditions: {}, propagationPolicy: '', ...UNSAFE },
      });
    await assert.rejects(
      ask(),
      failsWith(
        403,
        /secrets "guarded" is forbidden: not permitted to do "unsafe-delete-ignore-read-errors", reason: /,
      ),
    );
    const rbac = 'rbac.authorization.k8s.io';
    const verbs = ['unsafe-delete-ignore-read-errors'];
    await h.create('roles', 'default', {
      metadata: { name: 'unsafe' },
      rules: [{ verbs, apiGroups: [''], resources: ['secrets'] }],
    });
    await h.create('rolebindings', 'default', {
      metadata: { name: 'unsafe' },
      subjects: [{ kind: 'User', name: 'ann', apiGroup: rbac }],
      roleRef: { kind: 'Role', name: 'unsafe', apiGroup: rbac },
    });
    await h.until(() => (h.rest.roleBindings().length > 0 && h.rest.roles().length > 0 ? true : undefined));
    await ask();
    assert.equal(await h.stored('/registry/secrets/default/guarded'), undefined);
  });

  test('is refused for a whole collection', async () => {
    await assert.rejects(
      h.raw({
        verb: 'deletecollection',
        resource: h.resource('secrets'),
        namespace: 'default',
        options: { dryRun: false, preconditions: {}, propagationPolicy: '', ...UNSAFE },
      }),
      failsWith(422, /is not allowed with DELETECOLLECTION/),
    );
  });

  test('lets a namespace go that waited for it', async () => {
    await h.create('namespaces', '', { metadata: { name: 'blocked' } });
    await sealUnderLostKey('/registry/secrets/blocked/lost');
    await h.delete('namespaces', '', 'blocked');
    await h.delete('secrets', 'blocked', 'lost', UNSAFE);
    await h.until(async () =>
      (await h.stored('/registry/namespaces/blocked')) === undefined ? true : undefined,
    );
  });
});
