/**
 * May this principal do this to that? Default deny.
 *
 * Source of the rule: KMS Developer Guide, "Key access and permissions", and IAM's policy evaluation logic:
 *  1. an explicit deny anywhere wins;
 *  2. a key policy that names the principal itself (or everyone) is enough inside the key's account;
 *  3. a key policy that names the account delegates to the principal's identity policies;
 *  4. across accounts both sides must allow;
 *  5. where no key is involved the identity policies alone decide.
 */
import { AwsError } from '../aws-error.js';
import type { CompiledPolicy, StatementPrincipals } from './policy.js';
import { accountRootArn, type Principal } from './principals.js';

export interface AccessRequest {
  readonly principal: Principal;
  /** `kms:Encrypt`. */
  readonly action: string;
  /** The key's or alias's ARN, or `*`. */
  readonly resource: string;
  readonly resourceAccountId: string;
  /** Present when the resource has a policy of its own: a key. */
  readonly resourcePolicy?: CompiledPolicy;
}

/** `allow`, or which sentence AWS ends its refusal with. */
export type AccessDecision = 'allow' | 'deny-identity' | 'deny-resource' | 'no-identity' | 'no-resource';

type Verdict = 'allow' | 'delegate' | 'deny' | 'none';

export function decideAccess(request: AccessRequest): AccessDecision {
  const { principal, resourcePolicy } = request;
  const identity = identityVerdict(request);
  if (identity === 'deny') return 'deny-identity';
  const sameAccount = principal.accountId === request.resourceAccountId;
  if (resourcePolicy === undefined) {
    return identity === 'allow' && sameAccount ? 'allow' : 'no-identity';
  }
  const resource = resourceVerdict(request, resourcePolicy);
  if (resource === 'deny') return 'deny-resource';
  if (resource === 'none') return 'no-resource';
  if (resource === 'allow' && sameAccount) return 'allow';
  return identity === 'allow' ? 'allow' : 'no-identity';
}

/** @throws AwsError AccessDeniedException in AWS's words */
export function authorize(request: AccessRequest): void {
  const decision = decideAccess(request);
  if (decision !== 'allow') throw accessDenied(request, decision);
}

export function accessDenied(request: AccessRequest, decision: Exclude<AccessDecision, 'allow'>): AwsError {
  const because = {
    'deny-identity': 'with an explicit deny in an identity-based policy',
    'deny-resource': 'with an explicit deny in a resource-based policy',
    'no-identity': `because no identity-based policy allows the ${request.action} action`,
    'no-resource': `because no resource-based policy allows the ${request.action} action`,
  }[decision];
  return new AwsError(
    'AccessDeniedException',
    `User: ${request.principal.arn} is not authorized to perform: ${request.action} on resource: ${request.resource} ${because}`,
  );
}

function identityVerdict({ principal, action, resource }: AccessRequest): 'allow' | 'deny' | 'none' {
  // The account's root user cannot be limited by identity policies.
  let verdict: 'allow' | 'none' = principal.kind === 'root' ? 'allow' : 'none';
  for (const policy of principal.policies) {
    for (const statement of policy.statements) {
      if (!statement.matchesAction(action) || !statement.matchesResource(resource)) continue;
      if (statement.effect === 'Deny') return 'deny';
      if (!statement.hasCondition) verdict = 'allow';
    }
  }
  return verdict;
}

function resourceVerdict({ principal, action, resource }: AccessRequest, policy: CompiledPolicy): Verdict {
  let verdict: Verdict = 'none';
  for (const statement of policy.statements) {
    const match = matchPrincipal(statement.principals, principal);
    if (match === 'none' || !statement.matchesAction(action) || !statement.matchesResource(resource))
      continue;
    if (statement.effect === 'Deny') return 'deny';
    if (statement.hasCondition || verdict === 'allow') continue;
    verdict = match === 'itself' ? 'allow' : 'delegate';
  }
  return verdict;
}

function matchPrincipal(
  principals: StatementPrincipals | undefined,
  { arn, accountId }: Principal,
): 'itself' | 'account' | 'none' {
  if (principals === undefined) return 'none';
  if (principals.kind === 'anyone' || principals.arns.has(arn)) return 'itself';
  if (!principals.accountIds.has(accountId)) return 'none';
  return arn === accountRootArn(accountId) ? 'itself' : 'account';
}
