// Goal: a policy written to break the service is refused, or costs no more than its length. Method: deep nesting, patterns that make
// backtracking matchers hang, elements given twice, and sizes at the limit; the service answers afterwards.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ACCOUNT, startTestService, type TestService } from '../testing/harness.js';
import { rawCall } from '../testing/raw-call.js';
import { call, refuses } from '../testing/recordings.js';

let kms: TestService;
let KeyId: string;
before(async () => {
  kms = await startTestService();
  const created = (await call(kms, 'CreateKey', {})) as { KeyMetadata: { KeyId: string } };
  KeyId = created.KeyMetadata.KeyId;
});
after(() => kms.close());

const root = { AWS: `arn:aws:iam::${ACCOUNT}:root` };
const allowed = { Effect: 'Allow', Principal: root, Action: 'kms:*', Resource: '*' };
const put = (Policy: string): Promise<unknown> =>
  call(kms, 'PutKeyPolicy', { KeyId, PolicyName: 'default', Policy });
const malformed = (Policy: string, message: string): Promise<void> =>
  refuses(kms, 'PutKeyPolicy', { KeyId, Policy }, 'MalformedPolicyDocumentException', message);

test('a policy that nests deeply', async () => {
  const nested = `${'['.repeat(8_000)}${']'.repeat(8_000)}`;
  await malformed(`{"Version":"2012-10-17","Statement":${nested}}`, 'The policy is nested too deeply.');
  await malformed(`${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`, 'The policy is nested too deeply.');
});

test('a policy that says an element twice', async () => {
  const statement = JSON.stringify(allowed);
  await malformed(`{"Statement":[],"Statement":[${statement}]}`, 'Syntax errors in policy.');
  await malformed(
    `{"Statement":[${statement.replace('{', '{"Effect":"Deny",')}]}`,
    'Syntax errors in policy.',
  );
});

test('a policy larger than AWS takes', async () => {
  const Policy = JSON.stringify({ Statement: [allowed], Id: 'x'.repeat(32_768) });
  const { status, body } = await rawCall(kms, {
    action: 'PutKeyPolicy',
    body: JSON.stringify({ KeyId, Policy }),
  });
  assert.equal(status, 400);
  assert.match(body, /"__type":"LimitExceededException"/);
});

test('wildcards that make backtracking matchers hang', async () => {
  const pattern = `${'*a'.repeat(2_000)}*b`;
  const questions = `${'?*'.repeat(2_000)}b`;
  const deny = {
    Effect: 'Deny',
    Principal: '*',
    Action: 'kms:Encrypt',
    Resource: '*',
    Condition: {
      StringLike: { 'kms:EncryptionContext:k': [pattern, questions] },
      ArnLike: { 'aws:PrincipalArn': `arn:aws:iam::*:${'*a'.repeat(500)}` },
    },
  };
  await put(JSON.stringify({ Version: '2012-10-17', Statement: [allowed, deny] }));
  const EncryptionContext = { k: 'a'.repeat(8_000) };
  const answer = await call(kms, 'Encrypt', { KeyId, Plaintext: 'eA==', EncryptionContext });
  assert.ok(answer?.['CiphertextBlob']);
  const action = { ...deny, Action: `kms:${'*E'.repeat(2_000)}*`, Condition: {} };
  await put(JSON.stringify({ Version: '2012-10-17', Statement: [allowed, action] }));
  assert.ok((await call(kms, 'Encrypt', { KeyId, Plaintext: 'eA==' }))?.['CiphertextBlob']);
});

test('as many statements as fit', async () => {
  const statement = { Effect: 'Allow', Principal: '*', Action: 'kms:*', Resource: '*' };
  const Policy = JSON.stringify({ Statement: Array.from({ length: 400 }, () => statement) });
  await put(Policy);
  assert.ok((await call(kms, 'Encrypt', { KeyId, Plaintext: 'eA==' }))?.['CiphertextBlob']);
  assert.deepEqual(await call(kms, 'GetKeyPolicy', { KeyId }), { Policy, PolicyName: 'default' });
});

test('texts that are no policy', async () => {
  for (const [Policy, message] of [
    ['{', 'This policy contains invalid Json'],
    ['[]', 'Syntax errors in policy.'],
    ['null', 'Syntax errors in policy.'],
    ['{"Statement":null}', 'Syntax errors in policy.'],
    ['{"Version":"2013-01-01","Statement":[]}', 'The policy must contain a valid version string'],
    [
      JSON.stringify({ Statement: [{ ...allowed, Action: 'Encrypt' }] }),
      'Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.',
    ],
    [
      JSON.stringify({ Statement: [{ ...allowed, Principal: { AWS: 'bob' } }] }),
      'Policy contains a statement with one or more invalid principals.',
    ],
  ] as const) {
    await malformed(Policy, message);
  }
});
