// Goal: what limits a principal without allowing anything: permissions boundaries, service control policies, revoked sessions; from the
// configuration file to the decision.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createConditionContext } from '../operations/condition-context.js';
import { type AccessOutcome, accessDenied, decideAccess, type GrantMatch } from './authorizer.js';
import { compilePolicyObject } from './policy.js';
import { parsePrincipals } from './principals-file.js';
import { type Principal, type Role, roleSession } from './principals.js';

const ACCOUNT = '111122223333';
const KEY = `arn:aws:kms:us-east-1:${ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab`;
const USER = `arn:aws:iam::${ACCOUNT}:user/alice`;
const ROLE = `arn:aws:iam::${ACCOUNT}:role/deployer`;
const SESSION = `arn:aws:sts::${ACCOUNT}:assumed-role/deployer/ci`;
const NOW_MS = Date.UTC(2026, 5, 1);

const document = (Effect: string, Action: string): object => ({
  Version: '2012-10-17',
  Statement: [{ Effect, Action, Resource: '*' }],
});
const ALL = document('Allow', '*');
const LISTS = document('Allow', 'kms:List*');
const NO_DECRYPT = {
  Version: '2012-10-17',
  Statement: [
    { Effect: 'Allow', Action: '*', Resource: '*' },
    { Effect: 'Deny', Action: 'kms:Decrypt', Resource: '*' },
  ],
};
const TRUST = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { AWS: ACCOUNT }, Action: 'sts:AssumeRole' }],
};

interface Limits {
  readonly boundary?: unknown;
  readonly control?: readonly unknown[];
  readonly revokeSessionsBefore?: string;
}

/** An account whose user and role may do everything, but for the limits. */
const directory = ({ boundary, control, revokeSessionsBefore }: Limits) => {
  const limited = {
    policies: [ALL],
    ...(boundary === undefined ? {} : { permissionsBoundary: boundary }),
    ...(revokeSessionsBefore === undefined ? {} : { revokeSessionsBefore }),
  };
  const account = {
    id: ACCOUNT,
    policies: [{ name: 'lists', document: LISTS }],
    users: [{ name: 'alice', accessKeys: [], ...limited }],
    roles: [{ name: 'deployer', trustPolicy: TRUST, ...limited }],
    ...(control === undefined ? {} : { serviceControlPolicies: control }),
  };
  return parsePrincipals(JSON.stringify({ accounts: [account] }));
};

type Who = 'user' | 'role' | 'root';

function principalOf(limits: Limits, who: Who, issuedAtMs = NOW_MS): Principal {
  const principals = directory(limits);
  if (who === 'role') return roleSession(principals.findRole(ROLE) as Role, 'ci', { issuedAtMs });
  return principals.findPrincipal(who === 'user' ? USER : `arn:aws:iam::${ACCOUNT}:root`) as Principal;
}

/** @param named by the key policy; undefined: the account */
function decide(
  principal: Principal,
  named?: string,
  grant?: GrantMatch['match'],
  action = 'kms:Decrypt',
): AccessOutcome {
  const statement = { Effect: 'Allow', Action: 'kms:*', Resource: '*' };
  const AWS = named ?? (grant === undefined ? ACCOUNT : '444455556666');
  return decideAccess({
    principal,
    action,
    resource: KEY,
    resourceAccountId: ACCOUNT,
    resourcePolicy: compilePolicyObject(
      { Version: '2012-10-17', Statement: [{ ...statement, Principal: { AWS } }] },
      'key',
    ),
    context: createConditionContext(action, {
      principal,
      region: 'us-east-1',
      nowMs: NOW_MS,
      secureTransport: true,
      input: {},
      resourceAccountId: ACCOUNT,
      aliasNames: () => [],
    }),
    ...(grant === undefined ? {} : { findGrant: () => ({ grantId: 'g', match: grant }) }),
  }).outcome;
}

type Row = readonly [string, Limits, Who, AccessOutcome, (string | undefined)?, GrantMatch['match']?];

const ROWS: readonly Row[] = [
  ['a boundary that allows', { boundary: ALL }, 'user', 'allow'],
  ['a boundary by the name of a policy', { boundary: 'lists' }, 'user', 'no-boundary'],
  ['a managed policy as boundary', { boundary: 'AdministratorAccess' }, 'role', 'allow'],
  ['a boundary that does not allow', { boundary: LISTS }, 'role', 'no-boundary'],
  ['a boundary that denies', { boundary: NO_DECRYPT }, 'user', 'deny-boundary'],
  ['a user named by the key policy is beyond its boundary', { boundary: LISTS }, 'user', 'allow', USER],
  ['but not beyond its deny', { boundary: NO_DECRYPT }, 'user', 'deny-boundary', USER],
  ['a role named by the key policy is not', { boundary: LISTS }, 'role', 'no-boundary', ROLE],
  ['its session is', { boundary: LISTS }, 'role', 'allow', SESSION],
  ['everybody named is limited', { boundary: LISTS }, 'user', 'no-boundary', '*'],
  ['a grant to the user is beyond it', { boundary: LISTS }, 'user', 'allow', undefined, 'session'],
  ['a grant to the role is not', { boundary: LISTS }, 'role', 'no-resource', undefined, 'role'],
  ['a grant to a role whose boundary allows', { boundary: ALL }, 'role', 'allow', undefined, 'role'],
  ['service control that allows', { control: ['lists', ALL] }, 'user', 'allow'],
  ['service control that does not', { control: [LISTS] }, 'role', 'no-service-control'],
  ['none at all allows nothing', { control: [] }, 'user', 'no-service-control'],
  ['service control that denies', { control: [NO_DECRYPT] }, 'user', 'deny-service-control'],
  ['the root user is under it too', { control: [NO_DECRYPT] }, 'root', 'deny-service-control'],
  ['whoever the key policy names', { control: [LISTS] }, 'user', 'no-service-control', USER],
  ['whoever holds a grant', { control: [LISTS] }, 'user', 'no-service-control', undefined, 'session'],
  ['the root user without limits', {}, 'root', 'allow'],
];

for (const [name, limits, who, expected, named, grant] of ROWS) {
  test(name, () => assert.equal(decide(principalOf(limits, who), named, grant), expected));
}

test('sessions issued before the date are denied everything, later ones and users are not', () => {
  const limits = { revokeSessionsBefore: '2026-05-31T12:00:00Z' };
  const before = Date.UTC(2026, 4, 31, 11, 59, 59);
  assert.equal(decide(principalOf(limits, 'role', before)), 'deny-identity');
  assert.equal(decide(principalOf(limits, 'role', before), SESSION), 'deny-identity');
  assert.equal(decide(principalOf(limits, 'role', before + 1000)), 'allow');
  const user = principalOf(limits, 'user');
  assert.equal(decide(user), 'allow');
  assert.equal(decide({ ...user, issuedAtMs: before }), 'deny-identity');
});

test('refusals are worded as AWS words them', () => {
  const refusal = (outcome: Exclude<AccessOutcome, 'allow'>): string =>
    accessDenied(
      {
        principal: principalOf({}, 'user'),
        action: 'kms:Decrypt',
        resource: KEY,
        resourceAccountId: ACCOUNT,
      },
      outcome,
    ).message;
  assert.match(refusal('no-boundary'), / because no permissions boundary allows the kms:Decrypt action$/);
  assert.match(refusal('deny-boundary'), / with an explicit deny in a permissions boundary$/);
  assert.match(
    refusal('no-service-control'),
    / because no service control policy allows the kms:Decrypt action$/,
  );
  assert.match(refusal('deny-service-control'), / with an explicit deny in a service control policy$/);
});

test('limits that are none are refused with their place in the file', () => {
  assert.throws(() => directory({ boundary: 'nosuch' }), /user\/alice, boundary, policies\[0\] must be/);
  assert.throws(() => directory({ boundary: {} }), /boundary, policies\[0\] is not a policy/);
  assert.throws(() => directory({ control: ['nosuch'] }), /service control, policies\[0\] must be/);
  assert.throws(
    () => directory({ revokeSessionsBefore: 'yesterday' }),
    /users\[0\]\.revokeSessionsBefore must be a date/,
  );
});
