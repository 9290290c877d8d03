// Goal: a parameter that breaks a constraint is refused in AWS's words. Method: every sentence that somebody recorded or measured
// against AWS KMS is asked for again.
import { after, before, test } from 'node:test';
import { startTestService, type TestService } from './testing/harness.js';
import { type Members, refuses } from './testing/recordings.js';

const NOWHERE = '00000000-0000-0000-0000-000000000000';
const BYTES = 'bWVzc2FnZQ==';

let kms: TestService;
before(async () => {
  kms = await startTestService();
});
after(() => kms.close());

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
