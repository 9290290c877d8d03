/** GetKeyPolicy, PutKeyPolicy, ListKeyPolicies. A key has one policy; its name is `default`. */
import { decideAccess } from '../access/authorizer.js';
import { compileNewPolicy, type CompiledPolicy, PolicyError } from '../access/policy.js';
import { AwsError } from '../aws-error.js';
import { arnOf } from '../keys/key-record.js';
import { boolean, required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { accountOf, type Call } from './call.js';
import { contextOfCall } from './condition-context.js';
import { defineKeyOperation } from './operation.js';
import { pageOf } from './pages.js';

const POLICY_NAME = 'default';

/** KMS quota: a key policy document has at most 32 KiB. */
const MAX_POLICY_BYTES = 32_768;

export const getKeyPolicy = defineKeyOperation({
  name: 'GetKeyPolicy',
  action: 'kms:GetKeyPolicy',
  readOnly: true,
  key: { aliases: false, crossAccount: false, states: 'any' },
  input: { KeyId: required(shapes.keyId), PolicyName: shapes.policyName },
  run(_call, { PolicyName = POLICY_NAME }, key) {
    if (PolicyName !== POLICY_NAME) throw new AwsError('NotFoundException', 'No such policy exists');
    return { Policy: key.policy, PolicyName };
  },
});

export const putKeyPolicy = defineKeyOperation({
  name: 'PutKeyPolicy',
  action: 'kms:PutKeyPolicy',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'any' },
  input: {
    KeyId: required(shapes.keyId),
    PolicyName: shapes.policyName,
    Policy: required(shapes.policy),
    BypassPolicyLockoutSafetyCheck: boolean,
  },
  check({ PolicyName = POLICY_NAME }) {
    if (PolicyName !== POLICY_NAME) throw new AwsError('NotFoundException', 'No such policy exists');
  },
  async run(call, { Policy, BypassPolicyLockoutSafetyCheck }, key) {
    checkKeyPolicy(call, Policy, arnOf(key), BypassPolicyLockoutSafetyCheck);
    await call.services.keys.updateKey(key, (record) => ({ ...record, policy: Policy }));
    return undefined;
  },
});

export const listKeyPolicies = defineKeyOperation({
  name: 'ListKeyPolicies',
  action: 'kms:ListKeyPolicies',
  readOnly: true,
  key: { aliases: false, crossAccount: false, states: 'any' },
  input: { KeyId: required(shapes.keyId), Limit: shapes.limit, Marker: shapes.marker },
  run(_call, input) {
    const limits = { defaultSize: 100, maxSize: 1000 };
    const { items, tail } = pageOf('ListKeyPolicies', input, limits, [POLICY_NAME], (name) => name);
    return { PolicyNames: items, ...tail };
  },
});

/**
 * Refuses what cannot be a key policy, and what would lock the caller out of the key.
 *
 * @param arn the key's ARN, which may not exist yet
 * @throws AwsError MalformedPolicyDocumentException, LimitExceededException
 */
export function checkKeyPolicy(call: Call, document: string, arn: string, bypassLockout = false): void {
  if (Buffer.byteLength(document) > MAX_POLICY_BYTES) {
    throw new AwsError('LimitExceededException', `The key policy is larger than ${MAX_POLICY_BYTES} bytes.`);
  }
  const policy = compile(document);
  checkPrincipalsExist(call, policy);
  if (bypassLockout) return;
  const action = 'kms:PutKeyPolicy';
  const resourceAccountId = accountOf(call);
  const { outcome } = decideAccess({
    principal: call.principal,
    action,
    resource: arn,
    resourceAccountId,
    resourcePolicy: policy,
    context: contextOfCall(call, action, resourceAccountId),
  });
  if (outcome !== 'allow') {
    throw new AwsError(
      'MalformedPolicyDocumentException',
      'The new key policy will not allow you to update the key policy in the future.',
    );
  }
}

function compile(document: string): CompiledPolicy {
  try {
    return compileNewPolicy(document, 'key');
  } catch (error) {
    if (error instanceof PolicyError) throw new AwsError('MalformedPolicyDocumentException', error.message);
    throw error;
  }
}

function checkPrincipalsExist(call: Call, { statements }: CompiledPolicy): void {
  for (const { principals } of statements) {
    if (principals === undefined || principals.kind === 'anyone') continue;
    for (const arn of principals.names.arns) {
      if (!call.services.principals.hasPrincipal(arn)) {
        throw new AwsError(
          'MalformedPolicyDocumentException',
          'Policy contains a statement with one or more invalid principals.',
        );
      }
    }
  }
}
