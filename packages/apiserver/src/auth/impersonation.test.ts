import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UserInfo } from '../rest/contract.js';
import type { Attributes } from './attributes.js';
import { impersonate } from './impersonation.js';
import type { Authorizer } from './rbac.js';

const requestor: UserInfo = { name: 'ann', uid: '', groups: ['ops'], extra: {} };

function recording(allow: (attributes: Attributes) => boolean): { authorizer: Authorizer; asked: string[] } {
  const asked: string[] = [];
  const authorizer: Authorizer = {
    authorize(attributes) {
      assert.ok(attributes.kind === 'resource');
      const { group, resource, subresource, namespace, name } = attributes;
      asked.push(`${attributes.verb} ${group}|${resource}|${subresource}|${namespace}|${name}`);
      return { allowed: allow(attributes), reason: '' };
    },
    rulesFor: () => ({ rules: [], errors: [] }),
  };
  return { authorizer, asked };
}

test('without headers the requestor stays', () => {
  const { authorizer, asked } = recording(() => false);
  assert.equal(impersonate(authorizer, requestor, { accept: ['x'] }), requestor);
  assert.deepEqual(asked, []);
});

test('user, groups, uid and extra are each asked for', () => {
  const { authorizer, asked } = recording(() => true);
  const user = impersonate(authorizer, requestor, {
    'impersonate-user': ['bob'],
    'impersonate-group': ['dev', 'qa'],
    'impersonate-uid': ['7'],
    'impersonate-extra-acme.com%2fproject': ['p1', 'p2'],
  });
  assert.deepEqual(asked, [
    'impersonate |users|||bob',
    'impersonate |groups|||dev',
    'impersonate |groups|||qa',
    'impersonate authentication.k8s.io|userextras|acme.com/project||p1',
    'impersonate authentication.k8s.io|userextras|acme.com/project||p2',
    'impersonate authentication.k8s.io|uids|||7',
  ]);
  assert.equal(user.name, 'bob');
  assert.equal(user.uid, '7');
  assert.deepEqual(user.groups, ['dev', 'qa', 'system:authenticated']);
  assert.deepEqual(user.extra['acme.com/project'], ['p1', 'p2']);
});

test('a service account gets its groups; anonymous is unauthenticated', () => {
  const { authorizer, asked } = recording(() => true);
  const account = impersonate(authorizer, requestor, { 'impersonate-user': ['system:serviceaccount:n:sa'] });
  assert.deepEqual(asked, ['impersonate |serviceaccounts||n|sa']);
  assert.deepEqual(account.groups, [
    'system:serviceaccounts',
    'system:serviceaccounts:n',
    'system:authenticated',
  ]);
  const nobody = impersonate(authorizer, requestor, { 'impersonate-user': ['system:anonymous'] });
  assert.deepEqual(nobody.groups, ['system:unauthenticated']);
});

test('one refused part refuses the whole', () => {
  const { authorizer } = recording(
    (attributes) => attributes.kind === 'resource' && attributes.name !== 'root',
  );
  assert.throws(
    () => impersonate(authorizer, requestor, { 'impersonate-user': ['bob'], 'impersonate-group': ['root'] }),
    {
      code: 403,
      message:
        'groups "root" is forbidden: User "ann" cannot impersonate resource "groups" in API group "" at the cluster scope',
    },
  );
});

test('groups without a user are a bad request', () => {
  const { authorizer } = recording(() => true);
  assert.throws(() => impersonate(authorizer, requestor, { 'impersonate-group': ['dev'] }), { code: 400 });
  assert.throws(() => impersonate(authorizer, requestor, { 'impersonate-extra-x': ['y'] }), { code: 400 });
});
