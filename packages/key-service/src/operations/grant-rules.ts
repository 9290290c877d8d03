/**
 * What a grant may say: operations its key can do, grantees, constraints.
 *
 * Source of the rule: KMS Developer Guide, "Grant operations", and KMS API reference, CreateGrant and GrantConstraints.
 */
import { OPERATIONS_WITH_CONTEXT } from '../access/grants.js';
import { AwsError } from '../aws-error.js';
import type { GrantConstraints } from '../keys/grant-record.js';
import type { KeyRecord } from '../keys/key-record.js';
import { enumeration } from '../validation/members.js';

const MAX_CONTEXT_PAIRS = 8;
const MAX_CONTEXT_CHARS = 384;

const ALWAYS = ['CreateGrant', 'DescribeKey', 'RetireGrant'];

const BY_USAGE: { readonly [Usage in KeyRecord['keyUsage']]: readonly string[] } = {
  ENCRYPT_DECRYPT: ['Decrypt', 'Encrypt', 'GetPublicKey', 'ReEncryptFrom', 'ReEncryptTo'],
  SIGN_VERIFY: ['GetPublicKey', 'Sign', 'Verify'],
  GENERATE_VERIFY_MAC: ['GenerateMac', 'VerifyMac'],
  KEY_AGREEMENT: ['DeriveSharedSecret', 'GetPublicKey'],
  ENCAPSULATE_DECAPSULATE: ['Decapsulate', 'Encapsulate', 'GetPublicKey'],
};

export const GRANT_OPERATIONS = enumeration([
  'Decrypt',
  'Encrypt',
  'GenerateDataKey',
  'GenerateDataKeyWithoutPlaintext',
  'ReEncryptFrom',
  'ReEncryptTo',
  'Sign',
  'Verify',
  'GetPublicKey',
  'CreateGrant',
  'RetireGrant',
  'DescribeKey',
  'GenerateDataKeyPair',
  'GenerateDataKeyPairWithoutPlaintext',
  'GenerateMac',
  'VerifyMac',
  'DeriveSharedSecret',
  'Encapsulate',
  'Decapsulate',
]);

/** @throws AwsError ValidationException when the key can never do what the grant would allow */
export function checkOperations(key: KeyRecord, operations: readonly string[]): void {
  const possible = new Set([
    ...ALWAYS,
    ...(key.keySpec === 'SYMMETRIC_DEFAULT' ? OPERATIONS_WITH_CONTEXT : BY_USAGE[key.keyUsage]),
  ]);
  const impossible = operations.filter((operation) => !possible.has(operation));
  if (impossible.length > 0) {
    throw new AwsError(
      'ValidationException',
      `Operations ${impossible.join(', ')} are not supported for KMS keys with key usage ${key.keyUsage} and key spec ${key.keySpec}.`,
    );
  }
}

interface Grantees {
  readonly GranteePrincipal: string | undefined;
  readonly GranteeServicePrincipal: string | undefined;
  readonly RetiringPrincipal: string | undefined;
  readonly RetiringServicePrincipal: string | undefined;
  readonly Constraints: { readonly SourceArn: string | undefined } | undefined;
}

/** @throws AwsError ValidationException */
export function checkGrantees(input: Grantees): void {
  const { GranteePrincipal, GranteeServicePrincipal, RetiringPrincipal, RetiringServicePrincipal } = input;
  const invalid = (message: string): AwsError => new AwsError('ValidationException', message);
  if ((GranteePrincipal === undefined) === (GranteeServicePrincipal === undefined)) {
    throw invalid('You must specify either GranteePrincipal or GranteeServicePrincipal, but not both.');
  }
  if (RetiringPrincipal !== undefined && RetiringServicePrincipal !== undefined) {
    throw invalid('You can specify either RetiringPrincipal or RetiringServicePrincipal, but not both.');
  }
  if (GranteeServicePrincipal === undefined) return;
  if (input.Constraints?.SourceArn === undefined) {
    throw invalid('A grant with a GranteeServicePrincipal must have a SourceArn constraint.');
  }
  if (RetiringPrincipal === undefined && RetiringServicePrincipal === undefined) {
    throw invalid('A grant with a GranteeServicePrincipal must have a retiring principal.');
  }
}

/** @throws AwsError ValidationException */
export function checkConstraints(
  constraints: Partial<GrantConstraints> | Readonly<Record<string, unknown>>,
): void {
  const { EncryptionContextEquals, EncryptionContextSubset } = constraints as GrantConstraints;
  for (const context of [EncryptionContextEquals, EncryptionContextSubset]) {
    const values = Object.entries(context ?? {});
    if (
      values.length > MAX_CONTEXT_PAIRS ||
      values.some((pair) => pair.join('').length > MAX_CONTEXT_CHARS)
    ) {
      throw new AwsError(
        'ValidationException',
        `An encryption context constraint can have at most ${MAX_CONTEXT_PAIRS} pairs of at most ${MAX_CONTEXT_CHARS} characters.`,
      );
    }
  }
}

/**
 * Encryption contexts belong to symmetric encryption keys. AWS says so before it looks at the operations.
 *
 * @throws AwsError ValidationException
 */
export function refuseContextOfOtherKeys(
  key: KeyRecord,
  constraints: Readonly<Record<string, unknown>>,
): void {
  const constrained =
    constraints['EncryptionContextEquals'] !== undefined ||
    constraints['EncryptionContextSubset'] !== undefined;
  if (constrained && key.keySpec !== 'SYMMETRIC_DEFAULT') {
    throw new AwsError(
      'ValidationException',
      'EncryptionContext is supported only when creating a grant for a symmetric encryption KMS key.',
    );
  }
}
