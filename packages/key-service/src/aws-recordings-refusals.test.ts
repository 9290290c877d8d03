// Goal: what AWS refuses is refused in its words and in its order. Method: every sentence that somebody measured against AWS KMS, or
// that AWS answered to somebody who quoted it, is asked for again.
import { after, before, test } from 'node:test';
import { ACCOUNT, OTHER_ACCOUNT, REGION, startTestService, type TestService } from './testing/harness.js';
import { call, createKey, type Members, refuses } from './testing/recordings.js';

const NOWHERE = '00000000-0000-0000-0000-000000000000';
const BYTES = 'bWVzc2FnZQ==';

let kms: TestService;
before(async () => {
  kms = await startTestService();
});
after(() => kms.close());

const keyArn = (keyId: string, account = ACCOUNT): string => `arn:aws:kms:${REGION}:${account}:key/${keyId}`;
const specs = (KeySpec: string, KeyUsage: string): Members => ({ KeySpec, KeyUsage });

test('aliases where none may be', async () => {
  const required: Readonly<Record<string, Members>> = {
    TagResource: { Tags: [] },
    UntagResource: { TagKeys: [] },
    UpdateKeyDescription: { Description: '' },
    PutKeyPolicy: { Policy: '{}' },
    CreateGrant: { GranteePrincipal: `arn:aws:iam::${ACCOUNT}:root`, Operations: ['Encrypt'] },
    RevokeGrant: { GrantId: '1' },
    GetParametersForImport: { WrappingAlgorithm: 'RSAES_OAEP_SHA_256', WrappingKeySpec: 'RSA_2048' },
    ImportKeyMaterial: {
      ImportToken: BYTES,
      EncryptedKeyMaterial: BYTES,
      ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE',
    },
  };
  const others = [
    'ScheduleKeyDeletion',
    'CancelKeyDeletion',
    'EnableKey',
    'DisableKey',
    'ListResourceTags',
    'GetKeyPolicy',
    'ListKeyPolicies',
    'GetKeyRotationStatus',
    'EnableKeyRotation',
    'DisableKeyRotation',
    'RotateKeyOnDemand',
    'ListGrants',
    'DeleteImportedKeyMaterial',
  ];
  for (const action of [...Object.keys(required), ...others]) {
    for (const KeyId of ['alias/missing', `arn:aws:kms:${REGION}:${ACCOUNT}:alias/missing`]) {
      const message = 'Key Aliases are not supported for this operation.';
      await refuses(kms, action, { KeyId, ...required[action] }, 'InvalidArnException', message);
    }
  }
});

test('names of aliases', async () => {
  const TargetKeyId = await createKey(kms);
  await refuses(
    kms,
    'CreateAlias',
    { AliasName: 'alias/aws/ebs', TargetKeyId },
    'NotAuthorizedException',
    '',
  );
  for (const [AliasName, target, message] of [
    ['alias/my:alias', TargetKeyId, 'alias/my:alias contains invalid characters for an alias'],
    ['alias/new', 'alias/other', 'Aliases must refer to keys. Not aliases'],
  ] as const) {
    await refuses(kms, 'CreateAlias', { AliasName, TargetKeyId: target }, 'ValidationException', message);
  }
});

test('a key id in capitals is another key', async () => {
  const KeyId = '786CA7CD-B74B-42B3-B887-902AD7AB6429';
  await refuses(kms, 'DescribeKey', { KeyId }, 'NotFoundException', `Key '${keyArn(KeyId)}' does not exist`);
});

test('usage before state, state before algorithm', async () => {
  const hmac = await createKey(kms, specs('HMAC_256', 'GENERATE_VERIFY_MAC'));
  const rsa = await createKey(kms, specs('RSA_2048', 'SIGN_VERIFY'));
  const ec = await createKey(kms, specs('ECC_NIST_P256', 'SIGN_VERIFY'));
  for (const KeyId of [hmac, rsa]) await call(kms, 'DisableKey', { KeyId });
  await call(kms, 'ScheduleKeyDeletion', { KeyId: ec });
  const external = await createKey(kms, { Origin: 'EXTERNAL' });
  const message = { Message: BYTES };
  for (const [action, KeyId, input, code, text] of [
    [
      'Sign',
      hmac,
      { ...message, SigningAlgorithm: 'RSASSA_PSS_SHA_256' },
      'InvalidKeyUsageException',
      'key usage is GENERATE_VERIFY_MAC which is not valid for Sign.',
    ],
    ['GenerateMac', hmac, { ...message, MacAlgorithm: 'HMAC_SHA_512' }, 'DisabledException', 'is disabled.'],
    ['Sign', rsa, { ...message, SigningAlgorithm: 'ECDSA_SHA_256' }, 'DisabledException', 'is disabled.'],
    ['EnableKeyRotation', hmac, {}, 'DisabledException', 'is disabled.'],
    ['DisableKeyRotation', hmac, {}, 'DisabledException', 'is disabled.'],
    ['RotateKeyOnDemand', hmac, {}, 'DisabledException', 'is disabled.'],
    [
      'Sign',
      ec,
      { ...message, SigningAlgorithm: 'ECDSA_SHA_384' },
      'KMSInvalidStateException',
      'is pending deletion.',
    ],
    ['GetPublicKey', ec, {}, 'KMSInvalidStateException', 'is pending deletion.'],
    ['EnableKey', ec, {}, 'KMSInvalidStateException', 'is pending deletion.'],
    ['DisableKey', ec, {}, 'KMSInvalidStateException', 'is pending deletion.'],
    ['UpdateKeyDescription', ec, { Description: 'x' }, 'KMSInvalidStateException', 'is pending deletion.'],
    [
      'TagResource',
      ec,
      { Tags: [{ TagKey: 'a', TagValue: 'b' }] },
      'KMSInvalidStateException',
      'is pending deletion.',
    ],
    [
      'CreateAlias',
      ec,
      { AliasName: 'alias/gone', TargetKeyId: ec },
      'KMSInvalidStateException',
      'is pending deletion.',
    ],
    ['GetPublicKey', external, {}, 'KMSInvalidStateException', 'is pending import.'],
    ['EnableKey', external, {}, 'KMSInvalidStateException', 'is pending import.'],
    ['DisableKey', external, {}, 'KMSInvalidStateException', 'is pending import.'],
    [
      'EnableKeyRotation',
      external,
      {},
      'UnsupportedOperationException',
      'origin is EXTERNAL which is not valid for this operation.',
    ],
    [
      'DisableKeyRotation',
      external,
      {},
      'UnsupportedOperationException',
      'origin is EXTERNAL which is not valid for this operation.',
    ],
  ] as const) {
    await refuses(kms, action, { KeyId, ...input }, code, `${keyArn(KeyId)} ${text}`);
  }
});

test('what a key of another spec cannot do', async () => {
  const hmac = await createKey(kms, specs('HMAC_256', 'GENERATE_VERIFY_MAC'));
  const symmetric = await createKey(kms);
  const ec = await createKey(kms, specs('ECC_NIST_P256', 'SIGN_VERIFY'));
  await refuses(kms, 'EnableKeyRotation', { KeyId: hmac }, 'UnsupportedOperationException', '');
  await refuses(kms, 'RotateKeyOnDemand', { KeyId: hmac }, 'UnsupportedOperationException', '');
  await refuses(kms, 'GetPublicKey', { KeyId: symmetric }, 'UnsupportedOperationException', '');
  await call(kms, 'DisableKeyRotation', { KeyId: hmac });
  await refuses(
    kms,
    'Sign',
    { KeyId: ec, Message: BYTES, SigningAlgorithm: 'SYMMETRIC_DEFAULT' },
    'InvalidKeyUsageException',
    'Algorithm SYMMETRIC_DEFAULT is incompatible with key spec ECC_NIST_P256.',
  );
  await refuses(
    kms,
    'CreateGrant',
    {
      KeyId: hmac,
      GranteePrincipal: `arn:aws:iam::${ACCOUNT}:root`,
      Operations: ['GenerateMac'],
      Constraints: { EncryptionContextEquals: { a: 'b' } },
    },
    'ValidationException',
    'EncryptionContext is supported only when creating a grant for a symmetric encryption KMS key.',
  );
});

const policyFor = (user: string): string =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { AWS: `arn:aws:iam::${ACCOUNT}:user/${user}` },
        Action: 'kms:*',
        Resource: '*',
      },
    ],
  });

test('key policies that are refused', async () => {
  const KeyId = await createKey(kms);
  for (const [Policy, message] of [
    [policyFor('reader'), 'The new key policy will not allow you to update the key policy in the future.'],
    [policyFor('not-here'), 'Policy contains a statement with one or more invalid principals.'],
  ] as const) {
    await refuses(kms, 'PutKeyPolicy', { KeyId, Policy }, 'MalformedPolicyDocumentException', message);
    await refuses(kms, 'CreateKey', { Policy }, 'MalformedPolicyDocumentException', message);
  }
});

test('callers who may not', async () => {
  const KeyId = await createKey(kms);
  const own = await createKey(kms, { Policy: policyFor('admin') });
  const { CiphertextBlob } = (await call(kms, 'Encrypt', { KeyId, Plaintext: BYTES })) ?? {};
  const absent =
    'because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access';
  const allows = (kind: string, action: string): string =>
    `because no ${kind} policy allows the ${action} action`;
  for (const [user, action, input, rest] of [
    ['nobody', 'ListKeys', {}, `on resource: * ${allows('identity-based', 'kms:ListKeys')}`],
    ['nobody', 'CreateKey', {}, `on resource: * ${allows('identity-based', 'kms:CreateKey')}`],
    [
      'nobody',
      'DescribeKey',
      { KeyId },
      `on resource: ${keyArn(KeyId)} ${allows('identity-based', 'kms:DescribeKey')}`,
    ],
    [
      'reader',
      'DescribeKey',
      { KeyId: own },
      `on resource: ${keyArn(own)} ${allows('resource-based', 'kms:DescribeKey')}`,
    ],
    [
      'denied',
      'Encrypt',
      { KeyId, Plaintext: BYTES },
      `on resource: ${keyArn(KeyId)} with an explicit deny in an identity-based policy`,
    ],
    [
      'nobody',
      'Decrypt',
      { CiphertextBlob },
      `on the resource associated with this ciphertext ${allows('identity-based', 'kms:Decrypt')}`,
    ],
    ['foreigner', 'Decrypt', { CiphertextBlob }, `on the resource associated with this ciphertext ${absent}`],
    ['foreigner', 'DescribeKey', { KeyId: keyArn(own) }, `on this resource ${absent}`],
    ['foreigner', 'Encrypt', { KeyId: keyArn(NOWHERE), Plaintext: BYTES }, `on this resource ${absent}`],
  ] as const) {
    const account = user === 'foreigner' ? OTHER_ACCOUNT : ACCOUNT;
    const message = `User: arn:aws:iam::${account}:user/${user} is not authorized to perform: kms:${action} ${rest}`;
    await refuses(kms, action, input, 'AccessDeniedException', message, { user });
  }
});
