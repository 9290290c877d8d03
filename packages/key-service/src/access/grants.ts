/**
 * What a grant allows: some operations on one key, to one principal, under constraints.
 *
 * Source of the rule: KMS Developer Guide, "Grants in AWS KMS", and KMS API reference, GrantConstraints. Constraints on the encryption
 * context speak of operations that have one; a grant made with the permission of another grant never allows more than that.
 */
import type { GrantConstraints, GrantRecord } from '../keys/grant-record.js';
import type { GrantMatch } from './authorizer.js';
import type { ConditionContext } from './policy-variables.js';
import { accountRootArn, type Principal } from './principals.js';

type EncryptionContext = Readonly<Record<string, string>>;

/** What is asked of the grants of a key. */
export interface GrantQuestion {
  readonly principal: Principal;
  /** `kms:Encrypt`. */
  readonly action: string;
  readonly encryptionContext: EncryptionContext | undefined;
  readonly context: ConditionContext;
  /** CreateGrant only: the grant to be made. */
  readonly newGrant?: NewGrant | undefined;
}

interface NewGrant {
  readonly operations: readonly string[];
  readonly constraints: GrantConstraints | undefined;
}

/** @param ofGrantee the key's grants to a principal, by its ARN */
export function findAllowingGrant(
  ofGrantee: (granteePrincipal: string) => Iterable<GrantRecord>,
  question: GrantQuestion,
): GrantMatch | undefined {
  for (const [grantee, match] of granteeNames(question.principal)) {
    for (const grant of ofGrantee(grantee)) {
      if (allows(grant, question)) return { grantId: grant.grantId, match };
    }
  }
  return undefined;
}

/** Every name a grant can know a principal by; its account only delegates. */
export function granteeNames({
  kind,
  arn,
  roleArn,
  accountId,
}: Principal): readonly (readonly [string, GrantMatch['match']])[] {
  if (kind === 'root') return [[arn, 'session']];
  return [
    [arn, 'session'],
    ...(roleArn === undefined ? [] : ([[roleArn, 'role']] as const)),
    [accountRootArn(accountId), 'account'],
  ];
}

function allows({ operations, constraints = {} }: GrantRecord, question: GrantQuestion): boolean {
  const operation = question.action.slice('kms:'.length);
  if (!operations.includes(operation)) return false;
  const { EncryptionContextEquals: equals, EncryptionContextSubset: subset, SourceArn } = constraints;
  if (SourceArn !== undefined && question.context.values('aws:sourcearn')?.includes(SourceArn) !== true) {
    return false;
  }
  if (operation === 'CreateGrant') {
    return question.newGrant !== undefined && isNoWider(question.newGrant, operations, constraints);
  }
  if (!OPERATIONS_WITH_CONTEXT.has(operation)) return true;
  const context = question.encryptionContext ?? {};
  return (
    (equals === undefined || (includes(context, equals) && includes(equals, context))) &&
    (subset === undefined || includes(context, subset))
  );
}

export const OPERATIONS_WITH_CONTEXT: ReadonlySet<string> = new Set([
  'Decrypt',
  'Encrypt',
  'GenerateDataKey',
  'GenerateDataKeyPair',
  'GenerateDataKeyPairWithoutPlaintext',
  'GenerateDataKeyWithoutPlaintext',
  'ReEncryptFrom',
  'ReEncryptTo',
]);

function isNoWider(
  { operations, constraints = {} }: NewGrant,
  allowed: readonly string[],
  limits: GrantConstraints,
): boolean {
  const { EncryptionContextEquals: equals, EncryptionContextSubset: subset, SourceArn } = limits;
  const own = constraints.EncryptionContextEquals;
  const ownSubset = constraints.EncryptionContextSubset;
  return (
    operations.every((operation) => allowed.includes(operation)) &&
    (equals === undefined || (own !== undefined && includes(own, equals) && includes(equals, own))) &&
    (subset === undefined ||
      (own !== undefined && includes(own, subset)) ||
      (ownSubset !== undefined && includes(ownSubset, subset))) &&
    (SourceArn === undefined || constraints.SourceArn === SourceArn)
  );
}

/** True when `context` has every pair of `part`. */
function includes(context: EncryptionContext, part: EncryptionContext): boolean {
  return Object.keys(part).every((key) => Object.hasOwn(context, key) && context[key] === part[key]);
}
