/**
 * AWS managed policies by name, as far as they speak of KMS and STS.
 *
 * Source of the rule: AWS Managed Policy Reference. What those policies allow for other services is left out.
 */
import { type CompiledPolicy, compilePolicyObject } from './policy.js';

const ARN_PREFIX = 'arn:aws:iam::aws:policy/';

const allow = (name: string, ...actions: readonly string[]): readonly [string, CompiledPolicy] => [
  name,
  compilePolicyObject(
    { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: actions, Resource: '*' }] },
    'identity',
    name,
  ),
];

const MANAGED_POLICIES: ReadonlyMap<string, CompiledPolicy> = new Map([
  allow('AdministratorAccess', '*'),
  allow('PowerUserAccess', 'kms:*', 'sts:*', 'cloudtrail:*'),
  allow(
    'AWSKeyManagementServicePowerUser',
    'kms:CreateAlias',
    'kms:CreateKey',
    'kms:DeleteAlias',
    'kms:Describe*',
    'kms:GenerateRandom',
    'kms:Get*',
    'kms:List*',
    'kms:TagResource',
    'kms:UntagResource',
  ),
  allow(
    'ReadOnlyAccess',
    'kms:Describe*',
    'kms:Get*',
    'kms:List*',
    'sts:GetAccessKeyInfo',
    'sts:GetCallerIdentity',
    'sts:GetSessionToken',
    'cloudtrail:LookupEvents',
  ),
  allow('SecurityAudit', 'kms:Describe*', 'kms:Get*', 'kms:List*', 'cloudtrail:LookupEvents'),
  allow('ViewOnlyAccess', 'kms:ListAliases', 'kms:ListKeys', 'cloudtrail:LookupEvents'),
]);

export const MANAGED_POLICY_NAMES: readonly string[] = [...MANAGED_POLICIES.keys()];

/** @param name `AdministratorAccess` or `arn:aws:iam::aws:policy/AdministratorAccess` */
export function findManagedPolicy(name: string): CompiledPolicy | undefined {
  return MANAGED_POLICIES.get(name.startsWith(ARN_PREFIX) ? name.slice(ARN_PREFIX.length) : name);
}
