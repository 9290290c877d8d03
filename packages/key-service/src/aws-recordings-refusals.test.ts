// Goal: what AWS refuses is refused in its words and in its order. Method: every sentence that somebody measured against AWS KMS, or
// that AWS answered to somebody who quoted it, is asked for again.
import { after, before, test } from 'node:test';
import { ACCOUNT, OTHER_ACCOUNT, REGION, startTestService, type TestService } from './testing/harness.js';
import { call, type Members, refuses } from './testing/recordings.js';

const NOWHERE = '00000000-0000-0000-0000-000000000000';
const BYTES = 'bWVzc2FnZQ==';

let kms: TestService;
before(async () => {
  kms = await startTestService();
});
after(() => kms.close());

const keyArn = (keyId: string, account = ACCOUNT): string => `arn:aws:kms:${REGION}:${account}:key/${keyId}`;

async function createKey(input: Members = {}): Promise<string> {
  const { KeyMetadata } = (await call(kms, 'CreateKey', input)) as { KeyMetadata: { KeyId: string } };
  return KeyMetadata.KeyId;
}

const specs = (KeySpec: string, KeyUsage: string): Members => ({ KeySpec, KeyUsage });
const zeros = (size: number): string => Buffer.alloc(size).toString('base64');
const broken = (...violations: readonly string[]): string =>
  `${violations.length} validation error${violations.length === 1 ? '' : 's'} detected: ${violations.join('; ')}`;
const enumOf = (value: string, path: string, set: string): string =>
  `Value '${value}' at '${path}' failed to satisfy constraint: Member must satisfy enum value set: [${set}]`;
const missing = (path: string): string =>
  `Value null at '${path}' failed to satisfy constraint: Member must not be null`;
const length = (path: string, rule: string): string =>
  `Value at '${path}' failed to satisfy constraint: Member must have length ${rule}`;
const ASCII_RULE =
  'failed to satisfy constraint: Member must satisfy regular expression pattern: ^\\p{ASCII}+$';
const KEY_SPECS =
  'RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521, ECC_SECG_P256K1, ECC_NIST_EDWARDS25519, SYMMETRIC_DEFAULT, HMAC_224, HMAC_256, HMAC_384, HMAC_512, SM2, ML_DSA_44, ML_DSA_65, ML_DSA_87';
const SIGNING =
  'RSASSA_PSS_SHA_256, RSASSA_PSS_SHA_384, RSASSA_PSS_SHA_512, RSASSA_PKCS1_V1_5_SHA_256, RSASSA_PKCS1_V1_5_SHA_384, RSASSA_PKCS1_V1_5_SHA_512, ECDSA_SHA_256, ECDSA_SHA_384, ECDSA_SHA_512, ED25519_SHA_512, ED25519_PH_SHA_512, SM2DSA, ML_DSA_SHAKE_256';

/** Broken before any key is looked for: the key named does not exist. */
const CONSTRAINTS: readonly (readonly [string, Members, ...(readonly string[])])[] = [
  [
    'CreateKey',
    { KeySpec: 'HMAC_random' },
    enumOf(
      'HMAC_random',
      'keySpec',
      'RSA_2048, ECC_NIST_P384, ECC_NIST_P256, ECC_NIST_P521, HMAC_384, RSA_3072, ECC_SECG_P256K1, RSA_4096, SYMMETRIC_DEFAULT, HMAC_256, HMAC_224, HMAC_512',
    ),
  ],
  [
    'CreateKey',
    specs('HMAC_256', 'RANDOM'),
    enumOf('RANDOM', 'keyUsage', 'ENCRYPT_DECRYPT, SIGN_VERIFY, GENERATE_VERIFY_MAC'),
  ],
  ['GenerateDataKey', { KeySpec: 'FOO' }, enumOf('FOO', 'keySpec', KEY_SPECS)],
  ['GenerateDataKey', { KeySpec: 'RSA_2048' }, enumOf('RSA_2048', 'keySpec', KEY_SPECS)],
  ['GenerateDataKeyWithoutPlaintext', { KeySpec: 'FOO' }, enumOf('FOO', 'keySpec', KEY_SPECS)],
  [
    'GenerateDataKey',
    { NumberOfBytes: 0 },
    "Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1",
  ],
  [
    'EnableKeyRotation',
    { RotationPeriodInDays: 89 },
    "Value '89' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value greater than or equal to 90",
  ],
  [
    'EnableKeyRotation',
    { RotationPeriodInDays: 2561 },
    "Value '2561' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value less than or equal to 2560",
  ],
  [
    'Encrypt',
    { Plaintext: BYTES, EncryptionAlgorithm: 'FOO' },
    enumOf('FOO', 'encryptionAlgorithm', 'RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE, SYMMETRIC_DEFAULT'),
  ],
  ['Sign', { Message: BYTES, SigningAlgorithm: 'FOO' }, enumOf('FOO', 'signingAlgorithm', SIGNING)],
  [
    'Sign',
    { Message: BYTES, SigningAlgorithm: 'ECDSA_SHA_256', MessageType: 'FOO' },
    enumOf('FOO', 'messageType', 'RAW, DIGEST, EXTERNAL_MU'),
  ],
  ['Sign', { Message: BYTES }, missing('signingAlgorithm')],
  [
    'GenerateMac',
    { Message: BYTES, MacAlgorithm: 'hmac_sha_256' },
    enumOf('hmac_sha_256', 'macAlgorithm', 'HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512'),
  ],
  ['VerifyMac', { Message: BYTES, Mac: BYTES }, missing('macAlgorithm')],
  ['DescribeKey', { KeyId: null }, missing('keyId')],
  ['ReEncrypt', { CiphertextBlob: 'AAAA' }, missing('destinationKeyId')],
  ['CreateAlias', { AliasName: 'alias/x' }, missing('targetKeyId')],
  [
    'GetPublicKey',
    { KeyId: '' },
    "Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1",
    `Value '' at 'keyId' ${ASCII_RULE}`,
  ],
  ['DescribeKey', { KeyId: 'キー' }, `Value 'キー' at 'keyId' ${ASCII_RULE}`],
  ['Encrypt', { Plaintext: '' }, length('plaintext', 'greater than or equal to 1')],
  ['Encrypt', { Plaintext: zeros(4097) }, length('plaintext', 'less than or equal to 4096')],
  ['Encrypt', {}, "Value at 'plaintext' failed to satisfy constraint: Member must not be null"],
  [
    'Sign',
    { Message: zeros(4097), SigningAlgorithm: 'ECDSA_SHA_256' },
    length('message', 'less than or equal to 4096'),
  ],
  [
    'Verify',
    { Message: BYTES, Signature: '', SigningAlgorithm: 'ECDSA_SHA_256' },
    length('signature', 'greater than or equal to 1'),
  ],
  ['Verify', { Message: BYTES, SigningAlgorithm: 'ECDSA_SHA_256' }, missing('signature')],
  [
    'VerifyMac',
    { Message: BYTES, Mac: zeros(6145), MacAlgorithm: 'HMAC_SHA_256' },
    length('mac', 'less than or equal to 6144'),
  ],
  ['Decrypt', { CiphertextBlob: '' }, length('ciphertextBlob', 'greater than or equal to 1')],
  ['Decrypt', { CiphertextBlob: zeros(6145) }, length('ciphertextBlob', 'less than or equal to 6144')],
  ['Decrypt', {}, missing('ciphertextBlob')],
  [
    'CreateAlias',
    { AliasName: 'alias/my-alias!', TargetKeyId: NOWHERE },
    "Value 'alias/my-alias!' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
  ],
];

for (const [action, input, ...violations] of CONSTRAINTS) {
  test(`${action} ${JSON.stringify(input).slice(0, 60)}`, () =>
    refuses(kms, action, { KeyId: NOWHERE, ...input }, 'ValidationException', broken(...violations)));
}

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
  const TargetKeyId = await createKey();
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
  const hmac = await createKey(specs('HMAC_256', 'GENERATE_VERIFY_MAC'));
  const rsa = await createKey(specs('RSA_2048', 'SIGN_VERIFY'));
  const ec = await createKey(specs('ECC_NIST_P256', 'SIGN_VERIFY'));
  for (const KeyId of [hmac, rsa]) await call(kms, 'DisableKey', { KeyId });
  await call(kms, 'ScheduleKeyDeletion', { KeyId: ec });
  const external = await createKey({ Origin: 'EXTERNAL' });
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
  const hmac = await createKey(specs('HMAC_256', 'GENERATE_VERIFY_MAC'));
  const symmetric = await createKey();
  const ec = await createKey(specs('ECC_NIST_P256', 'SIGN_VERIFY'));
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
  const KeyId = await createKey();
  for (const [Policy, message] of [
    [policyFor('reader'), 'The new key policy will not allow you to update the key policy in the future.'],
    [policyFor('not-here'), 'Policy contains a statement with one or more invalid principals.'],
  ] as const) {
    await refuses(kms, 'PutKeyPolicy', { KeyId, Policy }, 'MalformedPolicyDocumentException', message);
    await refuses(kms, 'CreateKey', { Policy }, 'MalformedPolicyDocumentException', message);
  }
});

test('callers who may not', async () => {
  const KeyId = await createKey();
  const own = await createKey({ Policy: policyFor('admin') });
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
