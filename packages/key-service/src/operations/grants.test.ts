// Goal: grants through the real SDK: who may use a key because of one, its constraints, tokens, retiring and revoking.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CreateGrantCommand,
  type CreateGrantCommandInput,
  type CreateGrantCommandOutput,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EncryptCommand,
  ListGrantsCommand,
  ListRetirableGrantsCommand,
  RetireGrantCommand,
  RevokeGrantCommand,
} from '@aws-sdk/client-kms';
import {
  ACCOUNT,
  OTHER_ACCOUNT,
  startTestService,
  type TestService,
  type UserName,
} from '../testing/harness.js';
import { rejectsWith } from '../testing/rejects.js';

const arnOfUser = (name: string, account = ACCOUNT): string => `arn:aws:iam::${account}:user/${name}`;
const Plaintext = Buffer.from('x');

let kms: TestService;
before(async () => {
  kms = await startTestService();
});
after(() => kms.close());

async function newKey(): Promise<string> {
  const { KeyMetadata } = await kms.client().send(new CreateKeyCommand({}));
  return KeyMetadata?.Arn ?? '';
}

function grant(
  input: Omit<CreateGrantCommandInput, 'GranteePrincipal'> & { readonly GranteePrincipal?: string },
  by: UserName = 'admin',
): Promise<CreateGrantCommandOutput> {
  return kms.client(by).send(new CreateGrantCommand({ GranteePrincipal: arnOfUser('nobody'), ...input }));
}

const encryptAs = (name: UserName, KeyId: string, EncryptionContext?: Record<string, string>) =>
  kms
    .client(name)
    .send(new EncryptCommand({ KeyId, Plaintext, ...(EncryptionContext && { EncryptionContext }) }));

test('a grant allows its operations to its grantee, and nothing else', async () => {
  const KeyId = await newKey();
  await rejectsWith(encryptAs('nobody', KeyId), 'AccessDeniedException');
  const { GrantId, GrantToken } = await grant({ KeyId, Operations: ['Encrypt'] });
  assert.match(GrantId ?? '', /^[0-9a-f]{64}$/);
  assert.ok(GrantToken);
  const { CiphertextBlob } = await encryptAs('nobody', KeyId);
  await rejectsWith(
    kms.client('nobody').send(new DecryptCommand({ CiphertextBlob })),
    'AccessDeniedException',
  );
  await rejectsWith(kms.client('nobody').send(new DescribeKeyCommand({ KeyId })), 'AccessDeniedException');
  await rejectsWith(encryptAs('reader', KeyId), 'AccessDeniedException');
});

test('an explicit deny wins over a grant', async () => {
  const KeyId = await newKey();
  await grant({ KeyId, Operations: ['Encrypt'], GranteePrincipal: arnOfUser('denied') });
  await rejectsWith(encryptAs('denied', KeyId), 'AccessDeniedException');
});

test('a grant reaches into another account; one to an account needs its identity policies too', async () => {
  const KeyId = await newKey();
  await rejectsWith(encryptAs('foreigner', KeyId), 'AccessDeniedException');
  await grant({ KeyId, Operations: ['Encrypt'], GranteePrincipal: arnOfUser('foreigner', OTHER_ACCOUNT) });
  await encryptAs('foreigner', KeyId);

  const shared = await newKey();
  await grant({ KeyId: shared, Operations: ['Encrypt'], GranteePrincipal: `arn:aws:iam::${ACCOUNT}:root` });
  await encryptAs('admin', shared);
  await rejectsWith(encryptAs('nobody', shared), 'AccessDeniedException');
});

test('constraints on the encryption context', async () => {
  const equals = await newKey();
  await grant({
    KeyId: equals,
    Operations: ['Encrypt', 'DescribeKey'],
    Constraints: { EncryptionContextEquals: { app: 'a', stage: 'b' } },
  });
  await encryptAs('nobody', equals, { stage: 'b', app: 'a' });
  for (const context of [
    undefined,
    { app: 'a' },
    { app: 'a', stage: 'B' },
    { app: 'a', stage: 'b', more: 'c' },
  ]) {
    await rejectsWith(encryptAs('nobody', equals, context), 'AccessDeniedException');
  }
  await kms.client('nobody').send(new DescribeKeyCommand({ KeyId: equals }));

  const subset = await newKey();
  await grant({
    KeyId: subset,
    Operations: ['Encrypt'],
    Constraints: { EncryptionContextSubset: { app: 'a' } },
  });
  await encryptAs('nobody', subset, { app: 'a' });
  await encryptAs('nobody', subset, { app: 'a', more: 'c' });
  for (const context of [undefined, { app: 'b' }, { App: 'a' }]) {
    await rejectsWith(encryptAs('nobody', subset, context), 'AccessDeniedException');
  }
});

test('a grant made with a grant allows no more than that', async () => {
  const KeyId = await newKey();
  const Constraints = { EncryptionContextSubset: { app: 'a' } };
  await grant({ KeyId, Operations: ['CreateGrant', 'Encrypt'], Constraints });
  const toReader = (input: Partial<CreateGrantCommandInput>): Promise<CreateGrantCommandOutput> =>
    grant({ KeyId, Operations: ['Encrypt'], ...input, GranteePrincipal: arnOfUser('reader') }, 'nobody');
  await rejectsWith(toReader({}), 'AccessDeniedException');
  await rejectsWith(toReader({ Constraints, Operations: ['Encrypt', 'Decrypt'] }), 'AccessDeniedException');
  await rejectsWith(
    toReader({ Constraints: { EncryptionContextSubset: { more: 'b' } } }),
    'AccessDeniedException',
  );
  await toReader({ Constraints: { EncryptionContextEquals: { app: 'a', more: 'b' } } });
  await encryptAs('reader', KeyId, { app: 'a', more: 'b' });
});

test('listing: filters, pages, members', async () => {
  const KeyId = await newKey();
  const first = await grant({
    KeyId,
    Operations: ['Encrypt'],
    Name: 'one',
    RetiringPrincipal: arnOfUser('admin'),
  });
  await grant({ KeyId, Operations: ['Decrypt'], GranteePrincipal: arnOfUser('reader') });
  const { Grants: [entry] = [] } = await kms
    .client()
    .send(new ListGrantsCommand({ KeyId, GranteePrincipal: arnOfUser('nobody') }));
  assert.ok(entry?.CreationDate instanceof Date);
  assert.deepEqual(
    { ...entry, CreationDate: undefined },
    {
      CreationDate: undefined,
      GrantId: first.GrantId,
      GranteePrincipal: arnOfUser('nobody'),
      IssuingAccount: `arn:aws:iam::${ACCOUNT}:root`,
      KeyId,
      Name: 'one',
      Operations: ['Encrypt'],
      RetiringPrincipal: arnOfUser('admin'),
    },
  );
  const page = await kms.client().send(new ListGrantsCommand({ KeyId, Limit: 1 }));
  assert.equal(page.Truncated, true);
  const rest = await kms.client().send(new ListGrantsCommand({ KeyId, Limit: 1, Marker: page.NextMarker }));
  assert.equal(rest.Truncated, false);
  const ids = [...(page.Grants ?? []), ...(rest.Grants ?? [])].map(({ GrantId }) => GrantId);
  assert.equal(new Set(ids).size, 2);
  const retirable = await kms
    .client()
    .send(new ListRetirableGrantsCommand({ RetiringPrincipal: arnOfUser('admin') }));
  assert.ok(retirable.Grants?.some(({ GrantId }) => GrantId === first.GrantId));
});

test('the same named grant is made once', async () => {
  const KeyId = await newKey();
  const once = await grant({ KeyId, Operations: ['Encrypt', 'Decrypt'], Name: 'n' });
  const again = await grant({ KeyId, Operations: ['Decrypt', 'Encrypt'], Name: 'n' });
  const other = await grant({ KeyId, Operations: ['Decrypt'], Name: 'n' });
  assert.equal(again.GrantId, once.GrantId);
  assert.notEqual(again.GrantToken, once.GrantToken);
  assert.notEqual(other.GrantId, once.GrantId);
});

test('retiring: by token and by id, by those the grant names', async () => {
  const KeyId = await newKey();
  const byToken = await grant({ KeyId, Operations: ['Encrypt', 'RetireGrant'] });
  await rejectsWith(
    kms.client('reader').send(new RetireGrantCommand({ GrantToken: byToken.GrantToken })),
    'AccessDeniedException',
  );
  await kms.client('nobody').send(new RetireGrantCommand({ GrantToken: byToken.GrantToken }));
  await rejectsWith(encryptAs('nobody', KeyId), 'AccessDeniedException');

  const byId = await grant({ KeyId, Operations: ['Encrypt'], RetiringPrincipal: arnOfUser('reader') });
  await rejectsWith(
    kms.client('reader').send(new RetireGrantCommand({ KeyId, GrantId: byId.GrantId, DryRun: true })),
    'DryRunOperationException',
  );
  await kms.client('reader').send(new RetireGrantCommand({ KeyId, GrantId: byId.GrantId }));
  await rejectsWith(
    kms.client().send(new RetireGrantCommand({ KeyId, GrantId: byId.GrantId })),
    'NotFoundException',
    `Grant ID ${byId.GrantId} not found`,
  );
  await rejectsWith(kms.client().send(new RetireGrantCommand({ KeyId })), 'ValidationException');
  await rejectsWith(
    kms.client().send(new RetireGrantCommand({ GrantToken: 'bm90IGEgdG9rZW4=' })),
    'InvalidGrantTokenException',
  );
});

test('revoking, and what survives a restart', async () => {
  const KeyId = await newKey();
  const gone = await grant({ KeyId, Operations: ['Encrypt'] });
  await kms.client().send(new RevokeGrantCommand({ KeyId, GrantId: gone.GrantId }));
  await rejectsWith(encryptAs('nobody', KeyId), 'AccessDeniedException');
  await rejectsWith(
    kms.client().send(new RevokeGrantCommand({ KeyId, GrantId: gone.GrantId })),
    'NotFoundException',
  );
  await grant({ KeyId, Operations: ['Encrypt'] });
  await kms.restart();
  await encryptAs('nobody', KeyId);
});

test('grant tokens of requests are read: a forged one is refused, one of a gone grant is ignored', async () => {
  const KeyId = await newKey();
  const { GrantToken, GrantId } = await grant({ KeyId, Operations: ['Encrypt'] });
  const withToken = (token: string | undefined) =>
    kms.client('nobody').send(new EncryptCommand({ KeyId, Plaintext, GrantTokens: [token ?? ''] }));
  await withToken(GrantToken);
  await rejectsWith(withToken(GrantToken?.toLowerCase()), 'InvalidGrantTokenException');
  await kms.client().send(new RevokeGrantCommand({ KeyId, GrantId }));
  await rejectsWith(withToken(GrantToken), 'AccessDeniedException');
});

test('grants that cannot be', async () => {
  const KeyId = await newKey();
  const absent = arnOfUser('absent');
  await rejectsWith(
    grant({ KeyId, Operations: ['Encrypt'], GranteePrincipal: absent }),
    'InvalidArnException',
    `ARN does not refer to a valid principal: ${absent}`,
  );
  await rejectsWith(
    grant({ KeyId, Operations: ['CreateGrant'] }),
    'ValidationException',
    'Grants must not contain only the CreateGrant operation.',
  );
  await rejectsWith(grant({ KeyId, Operations: [] }), 'ValidationException');
  await rejectsWith(grant({ KeyId, Operations: ['Sign'] }), 'ValidationException');
  await rejectsWith(grant({ KeyId, Operations: ['GetPublicKey'] }), 'ValidationException');
  const nine = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`k${i}`, 'v']));
  await rejectsWith(
    grant({ KeyId, Operations: ['Encrypt'], Constraints: { EncryptionContextSubset: nine } }),
    'ValidationException',
  );
  await rejectsWith(
    grant({ KeyId, Operations: ['Encrypt'], GranteeServicePrincipal: 's3.amazonaws.com' }),
    'ValidationException',
  );
  await kms.client().send(new DisableKeyCommand({ KeyId }));
  await rejectsWith(grant({ KeyId, Operations: ['Encrypt'] }), 'DisabledException');
});
