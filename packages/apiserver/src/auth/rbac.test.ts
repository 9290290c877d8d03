import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { UserInfo } from '../rest/contract.js';
import type { Attributes } from './attributes.js';
import { forbiddenByAuthorizer } from './attributes.js';
import { bootstrapPolicy } from './bootstrap-policy.js';
import { checkBindingEscalation, checkRoleEscalation, missingRules } from './escalation.js';
import type { ClusterRole, PolicyRule, RbacSource, Role, RoleBinding } from './rbac-source.js';
import { parseClusterRole, parseClusterRoleBinding, parseRole, parseRoleBinding } from './rbac-source.js';
import { aggregatedRules, createRbacAuthorizer } from './rbac.js';

function user(name: string, ...groups: string[]): UserInfo {
  return { name, uid: '', groups, extra: {} };
}

function rule(parts: Partial<PolicyRule>): PolicyRule {
  return { verbs: [], apiGroups: [], resources: [], resourceNames: [], nonResourceURLs: [], ...parts };
}

interface Fixture {
  roles?: Role[];
  clusterRoles?: ClusterRole[];
  roleBindings?: RoleBinding[];
  clusterRoleBindings?: RoleBinding[];
}

function source(fixture: Fixture): RbacSource {
  const { roles = [], clusterRoles = [], roleBindings = [], clusterRoleBindings = [] } = fixture;
  return {
    roles: () => roles,
    clusterRoles: () => clusterRoles,
    roleBindings: () => roleBindings,
    clusterRoleBindings: () => clusterRoleBindings,
  };
}

function clusterRole(name: string, ...rules: PolicyRule[]): ClusterRole {
  return { name, labels: {}, rules, aggregation: undefined };
}

function binding(
  namespace: string,
  role: string,
  kind: string,
  name: string,
  subjectNamespace = '',
): RoleBinding {
  return {
    namespace,
    name: `bind-${role}`,
    subjects: [{ kind, apiGroup: '', name, namespace: subjectNamespace }],
    roleRef: { apiGroup: '', kind: 'ClusterRole', name: role },
  };
}

function ask(who: UserInfo, verb: string, resource: string, more: Partial<Attributes> = {}): Attributes {
  return {
    kind: 'resource',
    user: who,
    verb,
    group: '',
    resource,
    subresource: '',
    namespace: '',
    name: '',
    ...more,
  } as Attributes;
}

const readSecrets = rule({ verbs: ['get', 'list'], apiGroups: [''], resources: ['secrets'] });

describe('RBAC', () => {
  test('system:masters may do everything without any role', () => {
    const authorizer = createRbacAuthorizer(source({}));
    assert.equal(authorizer.authorize(ask(user('root', 'system:masters'), 'delete', 'nodes')).allowed, true);
  });

  test('nothing is granted by default', () => {
    const decision = createRbacAuthorizer(source({})).authorize(ask(user('u'), 'get', 'secrets'));
    assert.deepEqual(decision, { allowed: false, reason: '' });
  });

  test('a role binding grants in its namespace only, a cluster role binding everywhere', () => {
    const authorizer = createRbacAuthorizer(
      source({
        clusterRoles: [clusterRole('reader', readSecrets)],
        roleBindings: [binding('a', 'reader', 'User', 'ann')],
        clusterRoleBindings: [binding('', 'reader', 'Group', 'ops')],
      }),
    );
    const allowed = (who: UserInfo, namespace: string): boolean =>
      authorizer.authorize(ask(who, 'get', 'secrets', { namespace })).allowed;
    assert.equal(allowed(user('ann'), 'a'), true);
    assert.equal(allowed(user('ann'), 'b'), false);
    assert.equal(allowed(user('ann'), ''), false);
    assert.equal(allowed(user('bob', 'ops'), 'b'), true);
    assert.equal(allowed(user('bob', 'ops'), ''), true);
  });

  test('a service account without a namespace in a role binding is one of that namespace', () => {
    const authorizer = createRbacAuthorizer(
      source({
        clusterRoles: [clusterRole('reader', readSecrets)],
        roleBindings: [binding('a', 'reader', 'ServiceAccount', 'robot')],
        clusterRoleBindings: [binding('', 'reader', 'ServiceAccount', 'robot')],
      }),
    );
    const allowed = (name: string): boolean =>
      authorizer.authorize(ask(user(name), 'get', 'secrets', { namespace: 'a' })).allowed;
    assert.equal(allowed('system:serviceaccount:a:robot'), true);
    assert.equal(allowed('system:serviceaccount:b:robot'), false);
  });

  test('resourceNames, subresources and wildcards match as upstream', () => {
    const cases: readonly [PolicyRule, Partial<Attributes>, boolean][] = [
      [
        rule({ verbs: ['get'], apiGroups: [''], resources: ['secrets'], resourceNames: ['x'] }),
        { name: 'x' },
        true,
      ],
      [
        rule({ verbs: ['get'], apiGroups: [''], resources: ['secrets'], resourceNames: ['x'] }),
        { name: 'y' },
        false,
      ],
      [rule({ verbs: ['get'], apiGroups: [''], resources: ['secrets'], resourceNames: ['x'] }), {}, false],
      [rule({ verbs: ['get'], apiGroups: [''], resources: ['secrets'] }), { subresource: 'status' }, false],
      [
        rule({ verbs: ['get'], apiGroups: [''], resources: ['secrets/status'] }),
        { subresource: 'status' },
        true,
      ],
      [rule({ verbs: ['get'], apiGroups: [''], resources: ['*/status'] }), { subresource: 'status' }, true],
      [rule({ verbs: ['get'], apiGroups: [''], resources: ['*/status'] }), {}, false],
      [rule({ verbs: ['get'], apiGroups: [''], resources: ['*'] }), { subresource: 'status' }, true],
      [rule({ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }), { group: 'apps' }, true],
      [rule({ verbs: ['get'], apiGroups: [''], resources: ['secrets'] }), { group: 'apps' }, false],
    ];
    for (const [policy, more, expected] of cases) {
      const authorizer = createRbacAuthorizer(
        source({
          clusterRoles: [clusterRole('r', policy)],
          clusterRoleBindings: [binding('', 'r', 'User', 'u')],
        }),
      );
      const { allowed } = authorizer.authorize(ask(user('u'), 'get', 'secrets', more));
      assert.equal(allowed, expected, JSON.stringify([policy, more]));
    }
  });

  test('paths match exactly or by a trailing star', () => {
    const authorizer = createRbacAuthorizer(
      source({
        clusterRoles: [clusterRole('r', rule({ verbs: ['get'], nonResourceURLs: ['/version', '/apis/*'] }))],
        clusterRoleBindings: [binding('', 'r', 'User', 'u')],
      }),
    );
    const allowed = (path: string, verb = 'get'): boolean =>
      authorizer.authorize({ kind: 'path', user: user('u'), verb, path }).allowed;
    assert.equal(allowed('/version'), true);
    assert.equal(allowed('/version/x'), false);
    assert.equal(allowed('/apis/apps'), true);
    assert.equal(allowed('/apis'), false);
    assert.equal(allowed('/version', 'post'), false);
  });

  test('changes of the source take effect at once', () => {
    let clusterRoleBindings: RoleBinding[] = [];
    const roles: Role[] = [];
    const clusterRoles = [clusterRole('reader', readSecrets)];
    const roleBindings: RoleBinding[] = [];
    const authorizer = createRbacAuthorizer({
      roles: () => roles,
      clusterRoles: () => clusterRoles,
      roleBindings: () => roleBindings,
      clusterRoleBindings: () => clusterRoleBindings,
    });
    const question = ask(user('ann'), 'get', 'secrets');
    assert.equal(authorizer.authorize(question).allowed, false);
    clusterRoleBindings = [binding('', 'reader', 'User', 'ann')];
    assert.equal(authorizer.authorize(question).allowed, true);
    clusterRoleBindings = [];
    assert.equal(authorizer.authorize(question).allowed, false);
  });

  test('the reason names the binding, or the role that is missing', () => {
    const authorizer = createRbacAuthorizer(
      source({
        clusterRoles: [clusterRole('reader', readSecrets)],
        clusterRoleBindings: [binding('', 'reader', 'User', 'ann'), binding('', 'ghost', 'User', 'bob')],
      }),
    );
    assert.equal(
      authorizer.authorize(ask(user('ann'), 'get', 'secrets')).reason,
      'RBAC: allowed by ClusterRoleBinding "bind-reader" of ClusterRole "reader" to User "ann"',
    );
    assert.equal(
      authorizer.authorize(ask(user('bob'), 'get', 'secrets')).reason,
      'RBAC: clusterroles.rbac.authorization.k8s.io "ghost" not found',
    );
  });

  test('refusals read as kube-apiserver words them', () => {
    const message = (attributes: Attributes): string => forbiddenByAuthorizer(attributes, '').message;
    assert.equal(
      message(ask(user('u'), 'get', 'secrets', { namespace: 'n', name: 'x' })),
      'secrets "x" is forbidden: User "u" cannot get resource "secrets" in API group "" in the namespace "n"',
    );
    assert.equal(
      message(ask(user('u'), 'list', 'roles', { group: 'rbac.authorization.k8s.io' })),
      'roles.rbac.authorization.k8s.io is forbidden: User "u" cannot list resource "roles" in API group "rbac.authorization.k8s.io" at the cluster scope',
    );
    assert.equal(
      message({ kind: 'path', user: user('u'), verb: 'get', path: '/a<b>' }),
      'forbidden: User "u" cannot get path "/a&lt;b&gt;"',
    );
  });
});

describe('bootstrap policy', () => {
  const clusterRoles = bootstrapPolicy.clusterRoles.map(parseClusterRole);
  const authorizer = createRbacAuthorizer(
    source({
      clusterRoles,
      clusterRoleBindings: bootstrapPolicy.clusterRoleBindings.map((object) => ({
        namespace: '',
        ...parseClusterRoleBinding(object),
      })),
      roleBindings: ['admin', 'edit', 'view'].map((role) => binding('team', role, 'User', role)),
    }),
  );
  const allowed = (who: UserInfo, verb: string, resource: string, more: Partial<Attributes> = {}): boolean =>
    authorizer.authorize(ask(who, verb, resource, { namespace: 'team', ...more })).allowed;
  const reads = (who: UserInfo, path: string): boolean =>
    authorizer.authorize({ kind: 'path', user: who, verb: 'get', path }).allowed;

  test('view reads config maps and no secrets; edit reads and writes secrets; admin writes roles', () => {
    assert.equal(allowed(user('view'), 'get', 'configmaps'), true);
    assert.equal(allowed(user('view'), 'get', 'secrets'), false);
    assert.equal(allowed(user('edit'), 'get', 'secrets'), true);
    assert.equal(allowed(user('edit'), 'delete', 'secrets'), true);
    assert.equal(allowed(user('edit'), 'create', 'serviceaccounts', { subresource: 'token' }), true);
    const rbac = { group: 'rbac.authorization.k8s.io' };
    assert.equal(allowed(user('edit'), 'create', 'roles', rbac), false);
    assert.equal(allowed(user('admin'), 'create', 'roles', rbac), true);
    assert.equal(allowed(user('admin'), 'get', 'configmaps'), true);
  });

  test('aggregation crosses several roles and survives a cycle', () => {
    const a: ClusterRole = {
      name: 'a',
      labels: { to: 'b' },
      rules: [],
      aggregation: [{ matchLabels: { to: 'a' }, matchExpressions: [] }],
    };
    const b: ClusterRole = {
      name: 'b',
      labels: { to: 'a' },
      rules: [],
      aggregation: [{ matchLabels: { to: 'b' }, matchExpressions: [] }],
    };
    const c: ClusterRole = { name: 'c', labels: { to: 'b' }, rules: [readSecrets], aggregation: undefined };
    assert.deepEqual(aggregatedRules(a, [a, b, c]), [readSecrets]);
    const expression = (operator: string, values: string[]): ClusterRole => ({
      ...a,
      aggregation: [{ matchLabels: {}, matchExpressions: [{ key: 'to', operator, values }] }],
    });
    assert.deepEqual(aggregatedRules(expression('In', ['b']), [c]), [readSecrets]);
    assert.deepEqual(aggregatedRules(expression('NotIn', ['b']), [c]), []);
    assert.deepEqual(aggregatedRules(expression('Exists', []), [c]), [readSecrets]);
    assert.deepEqual(aggregatedRules(expression('DoesNotExist', []), [c]), []);
    assert.deepEqual(aggregatedRules(expression('Odd', []), [c]), []);
  });

  test('anonymous sees health and version, and nothing else', () => {
    const anonymous = user('system:anonymous', 'system:unauthenticated');
    for (const path of ['/healthz', '/livez', '/readyz', '/version'])
      assert.equal(reads(anonymous, path), true, path);
    for (const path of ['/api', '/apis', '/metrics', '/openapi/v2', '/readyz/kms-providers']) {
      assert.equal(reads(anonymous, path), false, path);
    }
    assert.equal(allowed(anonymous, 'get', 'configmaps'), false);
  });

  test('every authenticated user may discover and ask about itself', () => {
    const someone = user('someone', 'system:authenticated');
    for (const path of ['/api', '/apis/apps/v1', '/openapi/v2', '/version'])
      assert.equal(reads(someone, path), true);
    const group = 'authorization.k8s.io';
    assert.equal(allowed(someone, 'create', 'selfsubjectaccessreviews', { group, namespace: '' }), true);
    assert.equal(allowed(someone, 'create', 'subjectaccessreviews', { group, namespace: '' }), false);
  });
});

describe('escalation', () => {
  const rbacWrite = rule({
    verbs: ['create', 'update'],
    apiGroups: ['rbac.authorization.k8s.io'],
    resources: ['roles', 'rolebindings'],
  });
  const everything = rule({ verbs: ['*'], apiGroups: ['*'], resources: ['*'] });
  const allPaths = rule({ verbs: ['*'], nonResourceURLs: ['*'] });
  const bindVerb = rule({
    verbs: ['bind'],
    apiGroups: ['rbac.authorization.k8s.io'],
    resources: ['clusterroles'],
    resourceNames: ['reader'],
  });
  const fixture = source({
    clusterRoles: [
      clusterRole('writer', rbacWrite),
      clusterRole('reader', readSecrets),
      clusterRole('root', everything, allPaths),
      clusterRole('binder', bindVerb),
    ],
    clusterRoleBindings: [
      binding('', 'writer', 'User', 'ann'),
      binding('', 'root', 'User', 'root'),
      binding('', 'binder', 'User', 'bob'),
    ],
  });
  const authorizer = createRbacAuthorizer(fixture);
  const grant = (who: UserInfo, rules: PolicyRule[]) =>
    ({ user: who, namespace: 'n', name: 'r', resource: 'roles', rules }) as const;
  const bind = (who: UserInfo, role: string) =>
    ({
      user: who,
      namespace: 'n',
      name: 'b',
      resource: 'rolebindings',
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    }) as const;

  test('a role with more rights than its writer has is refused, and the message lists them', () => {
    assert.throws(() => checkRoleEscalation(authorizer, grant(user('ann', 'g'), [readSecrets])), {
      code: 403,
      reason: 'Forbidden',
      message:
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "ann" (groups=["g"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}',
    });
  });

  test('rights one holds may be granted', () => {
    checkRoleEscalation(authorizer, grant(user('ann'), [rbacWrite]));
    checkRoleEscalation(authorizer, grant(user('root'), [everything, allPaths]));
    checkRoleEscalation(authorizer, grant(user('x', 'system:masters'), [everything]));
  });

  test('an aggregated role needs every right', () => {
    const aggregated = {
      ...grant(user('ann'), []),
      aggregation: [{ matchLabels: {}, matchExpressions: [] }],
    };
    assert.throws(() => checkRoleEscalation(authorizer, aggregated), { code: 403 });
    checkRoleEscalation(authorizer, { ...aggregated, user: user('root') });
  });

  test('binding needs the rights of the role or the verb bind', () => {
    assert.throws(() => checkBindingEscalation(authorizer, fixture, bind(user('ann'), 'reader')), {
      code: 403,
    });
    assert.throws(() => checkBindingEscalation(authorizer, fixture, bind(user('bob'), 'root')), {
      code: 403,
    });
    assert.throws(() => checkBindingEscalation(authorizer, fixture, bind(user('ann'), 'ghost')), {
      message: /"ghost" not found/,
    });
    checkBindingEscalation(authorizer, fixture, bind(user('bob'), 'reader'));
    checkBindingEscalation(authorizer, fixture, bind(user('ann'), 'writer'));
  });

  test('covering respects names, subresource stars and path prefixes', () => {
    const named = rule({ ...readSecrets, resourceNames: ['x'] });
    assert.equal(missingRules([readSecrets], [named]).length, 0);
    assert.equal(missingRules([named], [readSecrets]).length, 2);
    const star = rule({ verbs: ['get'], apiGroups: [''], resources: ['*/status'] });
    assert.equal(missingRules([star], [rule({ ...star, resources: ['pods/status'] })]).length, 0);
    const prefix = rule({ verbs: ['get'], nonResourceURLs: ['/apis/*'] });
    assert.equal(missingRules([prefix], [rule({ verbs: ['get'], nonResourceURLs: ['/apis/x'] })]).length, 0);
    assert.equal(missingRules([prefix], [rule({ verbs: ['get'], nonResourceURLs: ['/api'] })]).length, 1);
  });
});

describe('parsing stored RBAC objects', () => {
  test('odd shapes grant nothing and never throw', () => {
    const odd = [null, 1, 'x', [], {}, [[]], { rules: 7 }];
    for (const rules of odd) {
      const object = {
        apiVersion: 'v1',
        kind: 'Role',
        metadata: { name: 'r' },
        rules,
        subjects: rules,
        roleRef: rules,
      };
      assert.equal(parseRole(object).name, 'r');
      assert.equal(parseRoleBinding(object).roleRef.name, '');
      assert.equal(parseClusterRole({ ...object, aggregationRule: rules }).name, 'r');
    }
  });
});
