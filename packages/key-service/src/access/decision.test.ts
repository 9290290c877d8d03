// Goal: the decision table of sessions, grants, NotPrincipal and alike, and which statement is said to have decided.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AccessOutcome, type AccessRequest, decideAccess, type GrantMatch } from './authorizer.js';
import { type CompiledPolicy, compilePolicyObject, PolicyError } from './policy.js';
import type { Principal } from './principals.js';

const ACCOUNT = '111122223333';
const OTHER = '444455556666';
const KEY = `arn:aws:kms:us-east-1:${ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab`;

type Element = Readonly<Record<string, unknown>>;
const policy = (kind: 'identity' | 'key', Statement: readonly Element[], name?: string): CompiledPolicy =>
  compilePolicyObject({ Version: '2012-10-17', Statement }, kind, name);
const identity = (...statements: readonly Element[]): readonly CompiledPolicy[] => [
  policy('identity', statements),
];

const allow = { Effect: 'Allow', Action: 'kms:*', Resource: '*' };
const deny = { ...allow, Effect: 'Deny' };
const to = (...AWS: readonly string[]): Element => ({ Principal: { AWS } });
const notTo = (...AWS: readonly string[]): Element => ({ ...deny, NotPrincipal: { AWS } });

const roleArn = (account: string): string => `arn:aws:iam::${account}:role/path/deployer`;
const sessionArn = (account: string): string => `arn:aws:sts::${account}:assumed-role/deployer/ci`;
const userArn = (account: string): string => `arn:aws:iam::${account}:user/alice`;
const rootArn = (account: string): string => `arn:aws:iam::${account}:root`;

const session = (
  policies: readonly CompiledPolicy[] = [],
  sessionPolicies?: readonly CompiledPolicy[],
  accountId = ACCOUNT,
): Principal => ({
  kind: 'assumed-role',
  accountId,
  arn: sessionArn(accountId),
  principalId: 'AROA:ci',
  roleArn: roleArn(accountId),
  policies,
  ...(sessionPolicies === undefined ? {} : { sessionPolicies }),
});
const user = (policies: readonly CompiledPolicy[] = [], accountId = ACCOUNT): Principal => ({
  kind: 'user',
  accountId,
  arn: userArn(accountId),
  principalId: 'AIDA',
  userName: 'alice',
  policies,
});
const root: Principal = {
  kind: 'root',
  accountId: ACCOUNT,
  arn: rootArn(ACCOUNT),
  principalId: ACCOUNT,
  policies: [],
};

const all = identity(allow);
const nothing = identity({ ...allow, Action: 'kms:List*' });
const denied = identity(allow, deny);

type Row = readonly [string, Principal, readonly Element[], AccessOutcome, GrantMatch['match']?];

const ROWS: readonly Row[] = [
  // Sessions of roles.
  ['role named', session(), [{ ...allow, ...to(roleArn(ACCOUNT)) }], 'allow'],
  ['session named', session(), [{ ...allow, ...to(sessionArn(ACCOUNT)) }], 'allow'],
  [
    'role named without its path',
    session(),
    [{ ...allow, ...to(`arn:aws:iam::${ACCOUNT}:role/deployer`) }],
    'no-resource',
  ],
  ['another session named', session(), [{ ...allow, ...to(`${sessionArn(ACCOUNT)}2`) }], 'no-resource'],
  ['account named, role may', session(all), [{ ...allow, ...to(ACCOUNT) }], 'allow'],
  ['account named, role may not', session(), [{ ...allow, ...to(ACCOUNT) }], 'no-identity'],
  [
    'role denied by the key policy',
    session(all),
    [
      { ...allow, ...to(ACCOUNT) },
      { ...deny, ...to(roleArn(ACCOUNT)) },
    ],
    'deny-resource',
  ],
  [
    'session denied by the key policy',
    session(all),
    [
      { ...allow, ...to(ACCOUNT) },
      { ...deny, ...to(sessionArn(ACCOUNT)) },
    ],
    'deny-resource',
  ],
  [
    'another account, role named, role may',
    session(all, undefined, OTHER),
    [{ ...allow, ...to(roleArn(OTHER)) }],
    'allow',
  ],
  [
    'another account, role named, role may not',
    session([], undefined, OTHER),
    [{ ...allow, ...to(roleArn(OTHER)) }],
    'no-identity',
  ],
  // Session policies.
  ['session policy allows too', session(all, all), [{ ...allow, ...to(ACCOUNT) }], 'allow'],
  ['session policy does not allow', session(all, nothing), [{ ...allow, ...to(ACCOUNT) }], 'no-session'],
  ['session policy is empty', session(all, []), [{ ...allow, ...to(ACCOUNT) }], 'no-session'],
  ['session policy denies', session(all, denied), [{ ...allow, ...to(ACCOUNT) }], 'deny-session'],
  [
    'session policy limits what the role is given',
    session([], nothing),
    [{ ...allow, ...to(roleArn(ACCOUNT)) }],
    'no-session',
  ],
  [
    'session policy limits what everyone is given',
    session([], nothing),
    [{ ...allow, Principal: '*' }],
    'no-session',
  ],
  [
    'session policy does not limit what the session is given',
    session([], nothing),
    [{ ...allow, ...to(sessionArn(ACCOUNT)) }],
    'allow',
  ],
  [
    'a deny of the session policy does',
    session([], denied),
    [{ ...allow, ...to(sessionArn(ACCOUNT)) }],
    'deny-session',
  ],
  ['session policy alone gives nothing', session([], all), [{ ...allow, ...to(ACCOUNT) }], 'no-identity'],
  [
    'identity deny wins over the session named',
    session(denied),
    [{ ...allow, ...to(sessionArn(ACCOUNT)) }],
    'deny-identity',
  ],
  [
    'role and session named, session policy narrower',
    session([], nothing),
    [
      { ...allow, ...to(roleArn(ACCOUNT)) },
      { ...allow, ...to(sessionArn(ACCOUNT)) },
    ],
    'allow',
  ],
  // NotPrincipal.
  [
    'all but alice are denied: alice',
    user(all),
    [{ ...allow, ...to(ACCOUNT) }, notTo(userArn(ACCOUNT), rootArn(ACCOUNT))],
    'allow',
  ],
  [
    'all but bob are denied: alice',
    user(all),
    [{ ...allow, ...to(ACCOUNT) }, notTo(`arn:aws:iam::${ACCOUNT}:user/bob`)],
    'deny-resource',
  ],
  [
    'all but the root are denied: alice',
    user(all),
    [{ ...allow, ...to(ACCOUNT) }, notTo(rootArn(ACCOUNT))],
    'deny-resource',
  ],
  [
    'all but the root are denied: the root',
    root,
    [{ ...allow, ...to(ACCOUNT) }, notTo(rootArn(ACCOUNT))],
    'allow',
  ],
  [
    'all but the role are denied: its session',
    session(all),
    [{ ...allow, ...to(ACCOUNT) }, notTo(roleArn(ACCOUNT))],
    'allow',
  ],
  [
    'all but the role are denied: alice',
    user(all),
    [{ ...allow, ...to(ACCOUNT) }, notTo(roleArn(ACCOUNT))],
    'deny-resource',
  ],
  // Resources.
  ['key policy for this key', user(), [{ ...allow, ...to(userArn(ACCOUNT)), Resource: KEY }], 'allow'],
  [
    'key policy for another key',
    user(),
    [{ ...allow, ...to(userArn(ACCOUNT)), Resource: `${KEY}0` }],
    'no-resource',
  ],
  [
    'NotResource of this key',
    user(),
    [{ Effect: 'Allow', Action: '*', NotResource: KEY, ...to(userArn(ACCOUNT)) }],
    'no-resource',
  ],
  [
    'wildcard in a part',
    user(identity({ ...allow, Resource: `arn:aws:kms:*:${ACCOUNT}:key/*` })),
    [{ ...allow, ...to(ACCOUNT) }],
    'allow',
  ],
  [
    'wildcard over parts',
    user(identity({ ...allow, Resource: `arn:aws:kms:*:*:alias/*` })),
    [{ ...allow, ...to(ACCOUNT) }],
    'no-identity',
  ],
  [
    'aliases are not keys',
    user(identity({ ...allow, Resource: `arn:aws:kms:us-east-1:${ACCOUNT}:alias/a` })),
    [{ ...allow, ...to(ACCOUNT) }],
    'no-identity',
  ],
  [
    'a variable in a resource',
    user(identity({ ...allow, Resource: 'arn:aws:kms:*:${aws:PrincipalAccount}:key/*' })),
    [{ ...allow, ...to(ACCOUNT) }],
    'allow',
  ],
  [
    'an unknown variable in a resource',
    user(identity({ ...allow, Resource: 'arn:aws:kms:*:${aws:absent}:key/*' })),
    [{ ...allow, ...to(ACCOUNT) }],
    'no-identity',
  ],
  // Grants.
  ['a grant', user(), [{ ...allow, ...to(OTHER) }], 'allow', 'session'],
  ['a grant and an identity deny', user(denied), [{ ...allow, ...to(OTHER) }], 'deny-identity', 'session'],
  ['a grant and a key policy deny', user(), [{ ...deny, ...to(ACCOUNT) }], 'deny-resource', 'session'],
  ['a grant across accounts', user([], OTHER), [{ ...allow, ...to(ACCOUNT) }], 'allow', 'session'],
  ['a grant to the account, identity allows', user(all), [{ ...allow, ...to(OTHER) }], 'allow', 'account'],
  [
    'a grant to the account, identity does not',
    user(),
    [{ ...allow, ...to(OTHER) }],
    'no-resource',
    'account',
  ],
  ['a grant to the role', session(), [{ ...allow, ...to(OTHER) }], 'allow', 'role'],
  [
    'a grant to the role, session policy narrower',
    session([], nothing),
    [{ ...allow, ...to(OTHER) }],
    'no-resource',
    'role',
  ],
  [
    'a grant to the session, session policy narrower',
    session([], nothing),
    [{ ...allow, ...to(OTHER) }],
    'allow',
    'session',
  ],
  ['a grant where identity lacks', user(), [{ ...allow, ...to(ACCOUNT) }], 'allow', 'session'],
  // The root.
  ['the root is not limited by identity policies', root, [{ ...allow, ...to(ACCOUNT) }], 'allow'],
  [
    'the root cannot pass a key policy that leaves it out',
    root,
    [{ ...allow, ...to(userArn(ACCOUNT)) }],
    'no-resource',
  ],
  [
    'the root is denied like others',
    root,
    [
      { ...allow, ...to(ACCOUNT) },
      { ...deny, Principal: '*' },
    ],
    'deny-resource',
  ],
  // Conditions on both sides.
  [
    'CallerAccount holds',
    user(),
    [{ ...allow, Principal: '*', Condition: { StringEquals: { 'kms:CallerAccount': ACCOUNT } } }],
    'allow',
  ],
  [
    'CallerAccount does not hold',
    user(all, OTHER),
    [{ ...allow, Principal: '*', Condition: { StringEquals: { 'kms:CallerAccount': ACCOUNT } } }],
    'no-resource',
  ],
  [
    'a deny whose condition does not hold',
    user(all),
    [
      { ...allow, ...to(ACCOUNT) },
      { ...deny, Principal: '*', Condition: { StringEquals: { 'kms:CallerAccount': OTHER } } },
    ],
    'allow',
  ],
  [
    'a deny unless a key is there',
    user(all),
    [
      { ...allow, ...to(ACCOUNT) },
      { ...deny, Principal: '*', Condition: { StringNotEquals: { 'kms:ViaService': 's3.amazonaws.com' } } },
    ],
    'deny-resource',
  ],
];

function request(
  principal: Principal,
  statements: readonly Element[],
  match?: GrantMatch['match'],
): AccessRequest {
  return {
    principal,
    action: 'kms:Encrypt',
    resource: KEY,
    resourceAccountId: ACCOUNT,
    resourcePolicy: policy('key', statements),
    context: {
      values(key) {
        return key === 'kms:calleraccount' || key === 'aws:principalaccount'
          ? [principal.accountId]
          : undefined;
      },
    },
    ...(match === undefined ? {} : { findGrant: () => ({ grantId: 'g', match }) }),
  };
}

for (const [name, principal, statements, expected, match] of ROWS) {
  test(name, () => assert.equal(decideAccess(request(principal, statements, match)).outcome, expected));
}

test('the statements that decided are named', () => {
  const statements = [
    { ...allow, ...to(OTHER), Sid: 'Others' },
    { ...allow, ...to(ACCOUNT), Sid: 'Account' },
  ];
  const byBoth = decideAccess(request(user(all), statements)).by;
  assert.deepEqual(
    byBoth.map((by) => ('statement' in by ? [by.kind, by.statement.index, by.statement.sid] : by)),
    [
      ['resource', 1, 'Account'],
      ['identity', 0, undefined],
    ],
  );
  assert.deepEqual(decideAccess(request(user(), [{ ...allow, ...to(OTHER) }], 'session')).by, [
    { kind: 'grant', grantId: 'g' },
  ]);
  const [by] = decideAccess(request(user(all), [...statements, { ...deny, Principal: '*', Sid: 'No' }])).by;
  assert.deepEqual(by?.kind === 'resource' && [by.statement.sid, by.statement.effect], ['No', 'Deny']);
  assert.deepEqual(decideAccess(request(user(), statements)).by, []);
});

test('policies that are none', () => {
  const bad: readonly Element[] = [
    { ...allow, Principal: '*', NotPrincipal: '*' },
    { ...allow, NotPrincipal: { AWS: userArn(ACCOUNT) } },
    { ...deny, NotPrincipal: '*' },
    { ...allow, Principal: {} },
    { ...allow, Principal: { AWS: [] } },
    { ...allow, Principal: 'alice' },
    { ...allow, Principal: { AWS: `arn:aws:iam::${ACCOUNT}:user/*` } },
    { ...allow, Principal: { AWS: `arn:aws:iam::${ACCOUNT}:group/g` } },
    { ...allow, Principal: { AWS: 'arn:aws:iam::12345:root' } },
    { ...allow, Principal: { Service: 'not a service' } },
    { ...allow, Principal: { Nobody: 'x' } },
    { ...allow, Principal: '*', Action: 'Encrypt' },
    { ...allow, Principal: '*', Action: 'kms:Enc rypt' },
    { ...allow, Principal: '*', Action: 'kms:a:b' },
    { ...allow, Principal: '*', Resource: 'key/x' },
    { ...allow, Principal: '*', NotResource: '*' },
    { ...allow, Principal: '*', Sid: 1 },
    { ...allow, Principal: '*', Condition: { StringEquals: { 'aws:x': { a: 1 } } } },
    { ...allow, Principal: '*', Condition: { Strings: { 'aws:x': 'a' } } },
    { ...allow, Principal: '*', Effect: 'allow' },
  ];
  for (const statement of bad) {
    assert.throws(() => policy('key', [statement]), PolicyError, JSON.stringify(statement));
  }
  assert.throws(() => compilePolicyObject({ Id: 1, Statement: [] }, 'key'), PolicyError);
  const trust = { Effect: 'Allow', Principal: '*', Action: 'sts:AssumeRole' };
  assert.throws(() => compilePolicyObject({ Statement: { ...trust, Resource: '*' } }, 'trust'), PolicyError);
  compilePolicyObject({ Statement: trust }, 'trust');
});
