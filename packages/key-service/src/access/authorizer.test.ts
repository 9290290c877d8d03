// Goal: the decision table of key policies and identity policies. Default is deny; an explicit deny wins.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { decideAccess, type AccessOutcome } from './authorizer.js';
import { compileGlob } from './glob.js';
import { findManagedPolicy } from './managed-policies.js';
import {
  type CompiledPolicy,
  compilePolicy,
  compilePolicyObject,
  defaultKeyPolicy,
  PolicyError,
} from './policy.js';
import type { Principal } from './principals.js';

const ACCOUNT = '111122223333';
const OTHER = '444455556666';
const KEY = `arn:aws:kms:us-east-1:${ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab`;

const principal = (accountId: string, ...policies: CompiledPolicy[]): Principal => ({
  kind: 'user',
  accountId,
  arn: `arn:aws:iam::${accountId}:user/alice`,
  principalId: 'AIDA',
  policies,
});
const root: Principal = {
  kind: 'root',
  accountId: ACCOUNT,
  arn: `arn:aws:iam::${ACCOUNT}:root`,
  principalId: ACCOUNT,
  policies: [],
};

type Element = Readonly<Record<string, unknown>>;

const identity = (...Statement: Element[]): CompiledPolicy =>
  compilePolicyObject({ Version: '2012-10-17', Statement }, 'identity');
const keyPolicy = (...Statement: Element[]): CompiledPolicy =>
  compilePolicyObject({ Version: '2012-10-17', Statement }, 'key');

const allow = { Effect: 'Allow', Action: 'kms:Encrypt', Resource: '*' };
const deny = { ...allow, Effect: 'Deny' };
const condition = { Condition: { StringEquals: { 'kms:ViaService': 's3.amazonaws.com' } } };
const alice = { Principal: { AWS: `arn:aws:iam::${ACCOUNT}:user/alice` } };
const foreignAlice = { Principal: { AWS: `arn:aws:iam::${OTHER}:user/alice` } };
const account = { Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` } };
const everyone = { Principal: '*' };
const empty = keyPolicy({ ...allow, Principal: { AWS: `arn:aws:iam::${ACCOUNT}:user/bob` } });

const CASES: readonly (readonly [string, Principal, CompiledPolicy | undefined, AccessOutcome])[] = [
  ['nothing allows', principal(ACCOUNT), empty, 'no-resource'],
  ['identity alone is not enough', principal(ACCOUNT, identity(allow)), empty, 'no-resource'],
  ['key policy names the user', principal(ACCOUNT), keyPolicy({ ...allow, ...alice }), 'allow'],
  ['key policy names everyone', principal(ACCOUNT), keyPolicy({ ...allow, ...everyone }), 'allow'],
  ['key policy names AWS *', principal(ACCOUNT), keyPolicy({ ...allow, Principal: { AWS: '*' } }), 'allow'],
  [
    'delegated, and allowed',
    principal(ACCOUNT, identity(allow)),
    keyPolicy({ ...allow, ...account }),
    'allow',
  ],
  ['delegated, and not allowed', principal(ACCOUNT), keyPolicy({ ...allow, ...account }), 'no-identity'],
  [
    'delegated to a bare account id',
    principal(ACCOUNT, identity(allow)),
    keyPolicy({ ...allow, Principal: { AWS: ACCOUNT } }),
    'allow',
  ],
  ['the account root itself', root, keyPolicy({ ...allow, ...account }), 'allow'],
  [
    'default policy and administrator',
    principal(ACCOUNT, findManagedPolicy('AdministratorAccess') as CompiledPolicy),
    compilePolicy(defaultKeyPolicy(ACCOUNT), 'key'),
    'allow',
  ],
  [
    'identity deny wins',
    principal(ACCOUNT, identity(allow, deny)),
    keyPolicy({ ...allow, ...alice }),
    'deny-identity',
  ],
  [
    'key policy deny wins',
    principal(ACCOUNT, identity(allow)),
    keyPolicy({ ...allow, ...alice }, { ...deny, ...everyone }),
    'deny-resource',
  ],
  [
    'deny of the account',
    principal(ACCOUNT, identity(allow)),
    keyPolicy({ ...allow, ...alice }, { ...deny, ...account }),
    'deny-resource',
  ],
  [
    'another action',
    principal(ACCOUNT),
    keyPolicy({ ...allow, ...alice, Action: 'kms:Decrypt' }),
    'no-resource',
  ],
  [
    'action wildcard, any case',
    principal(ACCOUNT),
    keyPolicy({ ...allow, ...alice, Action: 'KMS:en*' }),
    'allow',
  ],
  [
    'NotAction leaves it out',
    principal(ACCOUNT),
    keyPolicy({ Effect: 'Allow', ...alice, NotAction: 'kms:Encrypt', Resource: '*' }),
    'no-resource',
  ],
  [
    'NotAction leaves another out',
    principal(ACCOUNT),
    keyPolicy({ Effect: 'Allow', ...alice, NotAction: 'kms:Decrypt', Resource: '*' }),
    'allow',
  ],
  [
    'identity for another resource',
    principal(ACCOUNT, identity({ ...allow, Resource: `${KEY}x` })),
    keyPolicy({ ...allow, ...account }),
    'no-identity',
  ],
  [
    'identity with NotResource',
    principal(ACCOUNT, identity({ Effect: 'Allow', Action: '*', NotResource: KEY })),
    keyPolicy({ ...allow, ...account }),
    'no-identity',
  ],
  ['absent key on Allow', principal(ACCOUNT), keyPolicy({ ...allow, ...alice, ...condition }), 'no-resource'],
  [
    'absent key on Deny',
    principal(ACCOUNT),
    keyPolicy({ ...allow, ...alice }, { ...deny, ...everyone, ...condition }),
    'allow',
  ],
  [
    'absent key on identity Allow',
    principal(ACCOUNT, identity({ ...allow, ...condition })),
    keyPolicy({ ...allow, ...account }),
    'no-identity',
  ],
  [
    'absent key on identity Deny',
    principal(ACCOUNT, identity(allow, { ...deny, ...condition })),
    keyPolicy({ ...allow, ...account }),
    'allow',
  ],
  [
    'cross-account, key policy only',
    principal(OTHER),
    keyPolicy({ ...allow, ...foreignAlice }),
    'no-identity',
  ],
  [
    'cross-account, both',
    principal(OTHER, identity(allow)),
    keyPolicy({ ...allow, ...foreignAlice }),
    'allow',
  ],
  [
    'cross-account, account named, both',
    principal(OTHER, identity(allow)),
    keyPolicy({ ...allow, Principal: { AWS: OTHER } }),
    'allow',
  ],
  [
    'cross-account, identity only',
    principal(OTHER, identity(allow)),
    keyPolicy({ ...allow, ...account }),
    'no-resource',
  ],
  [
    'a service principal matches nobody',
    principal(ACCOUNT, identity(allow)),
    keyPolicy({ ...allow, Principal: { Service: 's3.amazonaws.com' } }),
    'no-resource',
  ],
  ['no key: identity allows', principal(ACCOUNT, identity(allow)), undefined, 'allow'],
  ['no key: nothing allows', principal(ACCOUNT), undefined, 'no-identity'],
  ['no key: another account', principal(OTHER, identity(allow)), undefined, 'no-identity'],
];

for (const [name, who, policy, expected] of CASES) {
  test(name, () => {
    const request = {
      principal: who,
      action: 'kms:Encrypt',
      resource: KEY,
      resourceAccountId: ACCOUNT,
      context: { values: () => undefined },
    };
    assert.equal(
      decideAccess(policy === undefined ? request : { ...request, resourcePolicy: policy }).outcome,
      expected,
    );
  });
}

test('policies that are none', () => {
  const bad = [
    '',
    '{',
    '[]',
    '{}',
    '{"Statement":[]}',
    '{"Version":"2020","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}',
    '{"Statement":{"Effect":"Maybe","Principal":"*","Action":"*","Resource":"*"}}',
    '{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}',
    '{"Statement":{"Effect":"Allow","Principal":"*","Resource":"*"}}',
    '{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","NotAction":"*","Resource":"*"}}',
    '{"Statement":{"Effect":"Allow","Principal":"*","Action":"*"}}',
    '{"Statement":{"Effect":"Allow","Principal":{"AWS":"alice"},"Action":"*","Resource":"*"}}',
    '{"Statement":{"Effect":"Allow","Principal":"*","Action":[],"Resource":"*"}}',
    '{"Statement":{"Effect":"Allow","Principal":"*","Action":[1],"Resource":"*"}}',
    '{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Extra":1}}',
    '{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":1}}',
    `{"Statement":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
  ];
  for (const document of bad) {
    assert.throws(() => compilePolicy(document, 'key'), PolicyError, document.slice(0, 100));
  }
});

test('wildcards match as their regular expression would', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', ':', '/') });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', ':', '*', '?') });
  fc.assert(
    fc.property(pattern, text, (glob, subject) => {
      const expected = new RegExp(`^${glob.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(subject);
      assert.equal(compileGlob(glob)(subject), expected);
    }),
    { numRuns: 2000 },
  );
});

test('a pattern made to be slow is not', () => {
  const matches = compileGlob(`${'*a'.repeat(500)}b`);
  assert.equal(matches('a'.repeat(2000)), false);
});
