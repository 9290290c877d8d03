// Goal: a principals file is read strictly; every mistake names its place and no secret.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { KeyServiceError } from '../errors.js';
import { parsePrincipals } from './principals-file.js';
import { createAccessKey } from './principals.js';

const FILE = `
accounts:
  - id: "111122223333"
    users:
      - name: admin
        accessKeys: [{ id: AKIAADMIN, secret: super-secret-value }]
        policies:
          - AdministratorAccess
          - Version: "2012-10-17"
            Statement: [{ Effect: Deny, Action: "kms:ScheduleKeyDeletion", Resource: "*" }]
`;

test('accounts, users, access keys and policies', () => {
  const principals = parsePrincipals(FILE);
  assert.deepEqual(principals.accountIds, ['111122223333']);
  const { principal, secret } = principals.findAccessKey('AKIAADMIN') ?? {};
  assert.equal(secret, 'super-secret-value');
  assert.equal(principal?.arn, 'arn:aws:iam::111122223333:user/admin');
  assert.equal(principal?.policies.length, 2);
  assert.equal(principals.findAccessKey('AKIAOTHER'), undefined);
  assert.ok(principals.hasPrincipal('arn:aws:iam::111122223333:user/admin'));
});

/** Each line stands for ten times the one before it. */
const BOMB = Array.from(
  { length: 9 },
  (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join()}]`,
).join('\n');

test('mistakes', () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['"111122223333"', '111122223333', /accounts\[0\]\.id must be 12 digits in quotes/],
    ['policies:', 'polices:', /accounts\[0\]\.users\[0\] has an unknown member 'polices'/],
    ['- AdministratorAccess', '- PowerUser', /must be AdministratorAccess, .* or a policy document/],
    ['Effect: Deny', 'Effect: No', /policies\[1\] is not a policy: .*[^.]\.$/],
    ['secret: super-secret-value', 'secret: short', /accessKeys\[0\]\.secret must be 8 to 256 characters/],
    ['accounts:', 'accounts: [', /the file is not YAML at line \d+/],
    ['accounts:', `a0: &a0 [x]\n${BOMB}\naccounts:`, /the file has too many aliases/],
    ['accounts:', 'a: *nowhere\naccounts:', /the file is not YAML: an alias has no anchor before it/],
    ['accounts:', `a: ${'['.repeat(5000)}\naccounts:`, /the file is nested more than 100 levels deep/],
    ['accounts:', `a:\n  ${'- '.repeat(5000)}x\naccounts:`, /the file is nested more than 100 levels deep/],
    ['accounts:', 'account:', /has an unknown member 'account'/],
  ];
  for (const [from, to, message] of cases) {
    assert.throws(
      () => parsePrincipals(FILE.replace(from, to)),
      (error) => {
        assert.ok(error instanceof KeyServiceError);
        assert.equal(error.code, 'invalid-principals');
        assert.match(error.message, message);
        assert.equal(error.message.includes('super-secret'), false);
        return true;
      },
    );
  }
  assert.throws(() => parsePrincipals(FILE + FILE.replace('\naccounts:', '')), /is there twice/);
});

test('a new access key has the shape of AWS', () => {
  const { id, secret } = createAccessKey(randomBytes);
  assert.match(id, /^AKIA[A-Z2-7]{16}$/);
  assert.match(secret, /^[A-Za-z0-9+/]{40}$/);
});
