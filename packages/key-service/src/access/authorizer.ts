/**
 * May this principal do this to that? Default deny.
 *
 * Source of the rule: KMS Developer Guide, "Key access and permissions", and IAM's policy evaluation logic:
 *  1. an explicit deny anywhere wins;
 *  2. a key policy that names the principal itself (or everyone) is enough inside the key's account;
 *  3. a key policy that names the account delegates to the principal's identity policies;
 *  4. across accounts both sides must allow;
 *  5. a grant is one more allow, whatever the account;
 *  6. a permissions boundary and a session policy limit all of this, except what a key policy or grant gives the user or session by
 *     its own ARN;
 *  7. service control policies limit everybody in their account, its root user too;
 *  8. where no key is involved the identity policies alone decide.
 */
import { AwsError } from '../aws-error.js';
import type { CompiledPolicy, Statement } from './policy.js';
import type { ConditionContext } from './policy-variables.js';
import type { Principal } from './principals.js';
import { matchPrincipal } from './statement-principals.js';

export interface AccessRequest {
  readonly principal: Principal;
  /** `kms:Encrypt`. */
  readonly action: string;
  /** The key's or alias's ARN, or `*`. */
  readonly resource: string;
  readonly resourceAccountId: string;
  /** How a refusal names the resource; default: ` on resource: ` and its ARN. */
  readonly shownAs?: string;
  /** Present when the resource has a policy of its own: a key, a role. */
  readonly resourcePolicy?: CompiledPolicy;
  readonly context: ConditionContext;
  /** The first grant that allows this, asked for only when no policy does. */
  readonly findGrant?: () => GrantMatch | undefined;
}

export interface GrantMatch {
  readonly grantId: string;
  /** How the grantee is named; see PrincipalMatch. */
  readonly match: 'session' | 'role' | 'account';
}

type PolicySource = 'service-control' | 'identity' | 'boundary' | 'session';

/** What decided. Absent fields: nothing said anything. */
export type DecidedBy =
  | {
      readonly kind: PolicySource | 'resource';
      readonly policy: string;
      readonly statement: Statement;
    }
  | { readonly kind: 'grant'; readonly grantId: string }
  /** The account's root user needs no identity policy. */
  | { readonly kind: 'root' };

export type AccessOutcome = 'allow' | `${'deny' | 'no'}-${PolicySource | 'resource'}`;

export interface AccessDecision {
  readonly outcome: AccessOutcome;
  /** The statements that decided, the most important first. Empty: nothing allows it. */
  readonly by: readonly DecidedBy[];
}

type Verdict = { readonly kind: 'none' } | { readonly kind: 'allow' | 'deny'; readonly by: DecidedBy };

const NONE: Verdict = { kind: 'none' };

export function decideAccess(request: AccessRequest): AccessDecision {
  const { principal, resourcePolicy } = request;
  const account = limitVerdict(request, principal.serviceControlPolicies, 'service-control');
  if (account.kind === 'deny') return { outcome: 'deny-service-control', by: [account.by] };
  const identity = identityVerdict(request);
  if (identity.kind === 'deny') return { outcome: 'deny-identity', by: [identity.by] };
  const boundary = limitVerdict(request, principal.permissionsBoundary, 'boundary');
  if (boundary.kind === 'deny') return { outcome: 'deny-boundary', by: [boundary.by] };
  const session = limitVerdict(request, principal.sessionPolicies, 'session');
  if (session.kind === 'deny') return { outcome: 'deny-session', by: [session.by] };
  const resource = resourcePolicy === undefined ? undefined : resourceVerdict(request, resourcePolicy);
  if (resource?.kind === 'deny') return { outcome: 'deny-resource', by: [resource.by] };

  if (account.kind === 'none') return refused('no-service-control');
  const limits: Limits = {
    missing: boundary.kind === 'none' ? 'no-boundary' : session.kind === 'none' ? 'no-session' : undefined,
    by: [...limitedBy(boundary), ...limitedBy(session)],
  };
  const sameAccount = principal.accountId === request.resourceAccountId;
  if (resource === undefined) {
    if (identity.kind === 'none' || !sameAccount) return refused('no-identity');
    return allowed([identity.by], limits);
  }

  const decision = decideByResource(request, resource, identity, limits, sameAccount);
  if (decision.outcome === 'allow') return decision;
  return decideByGrant(request, identity, limits) ?? decision;
}

/** What an allow of another policy is limited to. */
interface Limits {
  /** What does not allow it; undefined when all of them do. */
  readonly missing: 'no-boundary' | 'no-session' | undefined;
  readonly by: readonly DecidedBy[];
}

function decideByResource(
  { principal }: AccessRequest,
  resource: Exclude<ResourceVerdict, { readonly kind: 'deny' }>,
  identity: Verdict,
  limits: Limits,
  sameAccount: boolean,
): AccessDecision {
  if (resource.kind === 'none') return refused('no-resource');
  if (resource.kind === 'itself' && sameAccount) {
    // What is given to a user or a session by its own ARN is beyond its boundary and its session policy.
    const unlimited = resource.match === 'session' && principal.kind !== 'root';
    return unlimited ? { outcome: 'allow', by: [resource.by] } : allowed([resource.by], limits);
  }
  return identity.kind === 'none' ? refused('no-identity') : allowed([resource.by, identity.by], limits);
}

/** Undefined: no grant allows it. */
function decideByGrant(
  request: AccessRequest,
  identity: Verdict,
  limits: Limits,
): AccessDecision | undefined {
  const grant = request.findGrant?.();
  if (grant === undefined) return undefined;
  const by: DecidedBy = { kind: 'grant', grantId: grant.grantId };
  if (grant.match === 'session') return { outcome: 'allow', by: [by] };
  if (limits.missing !== undefined) return undefined;
  if (grant.match === 'role') return allowed([by], limits);
  return identity.kind === 'none' ? undefined : allowed([by, identity.by], limits);
}

function refused(outcome: AccessOutcome): AccessDecision {
  return { outcome, by: [] };
}

function allowed(by: readonly DecidedBy[], limits: Limits): AccessDecision {
  return limits.missing === undefined
    ? { outcome: 'allow', by: [...by, ...limits.by] }
    : refused(limits.missing);
}

function limitedBy(limit: LimitVerdict): readonly DecidedBy[] {
  return limit.kind === 'allow' ? [limit.by] : [];
}

/** @throws AwsError AccessDeniedException in AWS's words */
export function authorize(request: AccessRequest): void {
  const { outcome } = decideAccess(request);
  if (outcome !== 'allow') throw accessDenied(request, outcome);
}

export function accessDenied(
  request: Pick<AccessRequest, 'principal' | 'action' | 'resource' | 'resourceAccountId' | 'shownAs'>,
  outcome: Exclude<AccessOutcome, 'allow'>,
): AwsError {
  const { principal, action, resource, resourceAccountId, shownAs } = request;
  const of = `User: ${principal.arn} is not authorized to perform: ${action}`;
  if (
    principal.accountId !== resourceAccountId &&
    (outcome === 'no-resource' || outcome === 'deny-resource')
  ) {
    // To other accounts one sentence says everything, whether the resource exists or not.
    return new AwsError(
      'AccessDeniedException',
      `${of}${shownAs ?? ' on this resource'} ${ABSENT_OR_DENIED}`,
    );
  }
  const because = {
    'deny-identity': 'with an explicit deny in an identity-based policy',
    'deny-session': 'with an explicit deny in a session policy',
    'deny-boundary': 'with an explicit deny in a permissions boundary',
    'deny-service-control': 'with an explicit deny in a service control policy',
    'deny-resource': 'with an explicit deny in a resource-based policy',
    'no-identity': `because no identity-based policy allows the ${action} action`,
    'no-boundary': `because no permissions boundary allows the ${action} action`,
    'no-service-control': `because no service control policy allows the ${action} action`,
    'no-session': `because no session policy allows the ${action} action`,
    'no-resource': `because no resource-based policy allows the ${action} action`,
  }[outcome];
  return new AwsError('AccessDeniedException', `${of}${shownAs ?? ` on resource: ${resource}`} ${because}`);
}

/** Of a resource that is not to be found, or whose owner is another account. */
export const ABSENT_OR_DENIED =
  'because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access';

function identityVerdict(request: AccessRequest): Verdict {
  const { principal } = request;
  const verdict = readPolicies(request, principal.policies, 'identity');
  // The account's root user needs no identity policy, and cannot be limited by one.
  return principal.kind === 'root' ? { kind: 'allow', by: { kind: 'root' } } : verdict;
}

type LimitVerdict = Verdict | { readonly kind: 'unlimited' };

/** Policies that allow nothing by themselves, but whose allow is needed as well. Absent: no limit. */
function limitVerdict(
  request: AccessRequest,
  policies: readonly CompiledPolicy[] | undefined,
  kind: 'service-control' | 'boundary' | 'session',
): LimitVerdict {
  return policies === undefined ? { kind: 'unlimited' } : readPolicies(request, policies, kind);
}

function readPolicies(
  request: AccessRequest,
  policies: readonly CompiledPolicy[],
  kind: PolicySource,
): Verdict {
  let verdict: Verdict = NONE;
  for (const policy of policies) {
    for (const statement of policy.statementsFor(request.action)) {
      if (statement.effect === 'Allow' && verdict.kind === 'allow') continue;
      if (!applies(statement, request)) continue;
      const by: DecidedBy = { kind, policy: policy.name, statement };
      if (statement.effect === 'Deny') return { kind: 'deny', by };
      verdict = { kind: 'allow', by };
    }
  }
  return verdict;
}

type ResourceVerdict =
  | { readonly kind: 'none' }
  | { readonly kind: 'deny' | 'delegate'; readonly by: DecidedBy }
  | { readonly kind: 'itself'; readonly match: 'session' | 'role'; readonly by: DecidedBy };

function resourceVerdict(request: AccessRequest, policy: CompiledPolicy): ResourceVerdict {
  let verdict: ResourceVerdict = { kind: 'none' };
  for (const statement of policy.statementsFor(request.action)) {
    const match =
      statement.principals === undefined ? 'none' : matchPrincipal(statement.principals, request.principal);
    if (match === 'none' || !applies(statement, request)) continue;
    const by: DecidedBy = { kind: 'resource', policy: policy.name, statement };
    if (statement.effect === 'Deny') return { kind: 'deny', by };
    if (match === 'account') {
      if (verdict.kind === 'none') verdict = { kind: 'delegate', by };
    } else if (verdict.kind !== 'itself' || (verdict.match === 'role' && match === 'session')) {
      verdict = { kind: 'itself', match, by };
    }
  }
  return verdict;
}

function applies({ matchesResource, conditions }: Statement, { resource, context }: AccessRequest): boolean {
  if (!matchesResource(resource, context)) return false;
  for (const condition of conditions) if (!condition.holds(context)) return false;
  return true;
}
