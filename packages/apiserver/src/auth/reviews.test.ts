import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '@waxseal/api-types';
import type { UserInfo } from '../rest/contract.js';
import type { Authorizer } from './rbac.js';
import { createReviews } from './reviews.js';

const asker: UserInfo = { name: 'ann', uid: '1', groups: ['ops'], extra: { k: ['v'] } };

const authorizer: Authorizer = {
  authorize: (attributes) => ({
    allowed: attributes.user.name === 'ann' && attributes.verb === 'get',
    reason: 'because',
  }),
  rulesFor: () => ({
    rules: [
      { verbs: ['get'], apiGroups: [''], resources: ['secrets'], resourceNames: ['x'], nonResourceURLs: [] },
      { verbs: ['get'], apiGroups: [], resources: [], resourceNames: [], nonResourceURLs: ['/version'] },
    ],
    errors: ['a role is missing'],
  }),
};

const reviews = createReviews({
  authorizer,
  async authenticateToken(token, audiences) {
    if (token === 'good')
      return { kind: 'authenticated', user: asker, audiences: audiences ?? [], untilMs: 0 };
    return token === 'revoked' ? { kind: 'refused', message: 'revoked' } : { kind: 'unknown' };
  },
});

function review(kind: string, spec: unknown): KubeObject {
  return { apiVersion: 'authorization.k8s.io/v1', kind, metadata: {}, spec };
}

test('access reviews answer for oneself and for others', async () => {
  const resourceAttributes = { verb: 'get', resource: 'secrets', namespace: 'n' };
  const self = await reviews.SelfSubjectAccessReview(
    review('SelfSubjectAccessReview', { resourceAttributes }),
    asker,
    '',
  );
  assert.deepEqual(self['status'], { allowed: true, reason: 'because' });
  const other = await reviews.SubjectAccessReview(
    review('SubjectAccessReview', { user: 'bob', nonResourceAttributes: { verb: 'get', path: '/x' } }),
    asker,
    '',
  );
  assert.deepEqual(other['status'], { allowed: false, reason: 'because' });
  const local = await reviews.LocalSubjectAccessReview(
    review('LocalSubjectAccessReview', { user: 'ann', resourceAttributes }),
    asker,
    'n',
  );
  assert.deepEqual(local['status'], { allowed: true, reason: 'because' });
});

test('questions that are not exactly one question are invalid', async () => {
  const both = { resourceAttributes: {}, nonResourceAttributes: {} };
  const {
    SelfSubjectAccessReview: self,
    SubjectAccessReview: other,
    LocalSubjectAccessReview: local,
  } = reviews;
  await assert.rejects(self(review('SelfSubjectAccessReview', both), asker, ''), { code: 422 });
  await assert.rejects(self(review('SelfSubjectAccessReview', {}), asker, ''), {
    code: 422,
    message: /exactly one of nonResourceAttributes or resourceAttributes must be specified/,
  });
  await assert.rejects(self(review('SelfSubjectAccessReview', null), asker, ''), { code: 422 });
  await assert.rejects(other(review('SubjectAccessReview', { resourceAttributes: {} }), asker, ''), {
    message: /at least one of user or group must be specified/,
  });
  await assert.rejects(
    local(
      review('LocalSubjectAccessReview', { user: 'u', resourceAttributes: { namespace: 'm' } }),
      asker,
      'n',
    ),
    { code: 400 },
  );
});

test('rules reviews list both kinds of rules and what could not be resolved', async () => {
  const answer = await reviews.SelfSubjectRulesReview(
    review('SelfSubjectRulesReview', { namespace: 'n' }),
    asker,
    '',
  );
  assert.deepEqual(answer['status'], {
    resourceRules: [{ verbs: ['get'], apiGroups: [''], resources: ['secrets'], resourceNames: ['x'] }],
    nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/version'] }],
    incomplete: true,
    evaluationError: 'a role is missing',
  });
  await assert.rejects(reviews.SelfSubjectRulesReview(review('SelfSubjectRulesReview', {}), asker, ''), {
    code: 400,
  });
});

test('self review and token review name the user, and never echo the token', async () => {
  const self = await reviews.SelfSubjectReview(review('SelfSubjectReview', {}), asker, '');
  assert.deepEqual(self['status'], {
    userInfo: { username: 'ann', uid: '1', groups: ['ops'], extra: { k: ['v'] } },
  });
  const good = await reviews.TokenReview(
    review('TokenReview', { token: 'good', audiences: ['a'] }),
    asker,
    '',
  );
  assert.doesNotMatch(JSON.stringify(good), /good/);
  assert.deepEqual(good['status'], {
    authenticated: true,
    user: { username: 'ann', uid: '1', groups: ['ops'], extra: { k: ['v'] } },
    audiences: ['a'],
  });
  const revoked = await reviews.TokenReview(review('TokenReview', { token: 'revoked' }), asker, '');
  assert.deepEqual(revoked['status'], { authenticated: false, user: {}, error: 'revoked' });
  await assert.rejects(reviews.TokenReview(review('TokenReview', {}), asker, ''), { code: 400 });
});
