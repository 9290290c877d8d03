/**
 * STS: GetCallerIdentity, AssumeRole, GetSessionToken.
 *
 * Source of the rule: STS API reference 2011-06-15. Whether a role may be assumed is decided as a key policy is, with the role's
 * trust policy in its place.
 */
import { decideAccess } from '../access/authorizer.js';
import { findManagedPolicy } from '../access/managed-policies.js';
import { compileNewPolicy, PolicyError } from '../access/policy.js';
import type { ConditionContext } from '../access/policy-variables.js';
import { type Principal, type PrincipalDirectory, type Role, roleSession } from '../access/principals.js';
import { AwsError } from '../aws-error.js';
import { createConditionContext } from '../operations/condition-context.js';
import type { HttpRequest } from '../http/message.js';
import type { VerifiedCaller } from '../sigv4/verifier.js';
import type { AssumeRoleInput, GetSessionTokenInput } from './inputs.js';
import type { SessionIssuer } from './session-token.js';

const ROOT_SESSION_SECONDS = 3600;
/** Role chaining: a session that assumes a role gets at most an hour. */
const CHAINED_SESSION_SECONDS = 3600;

export interface StsServices {
  readonly principals: PrincipalDirectory;
  readonly sessions: SessionIssuer;
  readonly now: () => number;
}

/** Members of a result in the order AWS writes them; nested ones are structures. */
export interface StsResult {
  readonly [member: string]: string | StsResult;
}

export function getCallerIdentity({ accessKey }: VerifiedCaller): StsResult {
  const { arn, principalId, accountId } = accessKey.principal;
  return { Arn: arn, UserId: principalId, Account: accountId };
}

/** @throws AwsError AccessDeniedException, ValidationException */
export function getSessionToken(
  { sessions, now }: StsServices,
  { accessKey }: VerifiedCaller,
  { DurationSeconds }: GetSessionTokenInput,
): StsResult {
  const { principal, sessionToken } = accessKey;
  if (sessionToken !== undefined) {
    throw new AwsError('AccessDeniedException', 'Cannot call GetSessionToken with session credentials');
  }
  const seconds =
    principal.kind === 'root' ? Math.min(DurationSeconds, ROOT_SESSION_SECONDS) : DurationSeconds;
  const issuedAtMs = now();
  const session = sessions.issue({
    subjectArn: principal.arn,
    issuedAtMs,
    expiresAtMs: issuedAtMs + seconds * 1000,
  });
  return { Credentials: credentials(session) };
}

/** @throws AwsError AccessDeniedException, ValidationException, MalformedPolicyDocumentException */
export function assumeRole(
  services: StsServices,
  caller: VerifiedCaller,
  input: AssumeRoleInput,
  request: HttpRequest,
): StsResult {
  const { principals, sessions, now } = services;
  const { principal } = caller.accessKey;
  if (principal.kind === 'root') {
    throw new AwsError('AccessDeniedException', 'Roles may not be assumed by root accounts.');
  }
  const inherited = transitiveTags(principal);
  refuseOverriding(inherited, input);
  const role = principals.findRole(input.RoleArn);
  const context = assumeRoleContext(caller, input, request, now());
  const actions = ['sts:AssumeRole', ...(input.Tags.size === 0 ? [] : ['sts:TagSession'])];
  for (const action of actions) {
    const allowed =
      role !== undefined &&
      decideAccess({
        principal,
        action,
        resource: role.arn,
        resourceAccountId: role.accountId,
        resourcePolicy: role.trustPolicy,
        context,
      }).outcome === 'allow';
    if (!allowed) throw notAuthorized(principal.arn, action, input.RoleArn);
  }
  if (role === undefined) throw notAuthorized(principal.arn, 'sts:AssumeRole', input.RoleArn);
  checkDuration(role, principal.kind === 'assumed-role', input.DurationSeconds);
  checkSessionPolicies(input);

  const tags = new Map([...inherited, ...input.Tags]);
  const transitiveTagKeys = [...inherited.keys(), ...input.TransitiveTagKeys];
  const issuedAtMs = now();
  const session = sessions.issue({
    subjectArn: role.arn,
    sessionName: input.RoleSessionName,
    issuedAtMs,
    expiresAtMs: issuedAtMs + input.DurationSeconds * 1000,
    ...(input.Policy === undefined ? {} : { policy: input.Policy }),
    ...(input.PolicyArns.length === 0 ? {} : { policyArns: input.PolicyArns }),
    ...(tags.size === 0 ? {} : { tags: Object.fromEntries(tags) }),
    ...(transitiveTagKeys.length === 0 ? {} : { transitiveTagKeys }),
  });
  const { arn, principalId } = roleSession(role, input.RoleSessionName);
  return {
    ...(input.SourceIdentity === undefined ? {} : { SourceIdentity: input.SourceIdentity }),
    AssumedRoleUser: { AssumedRoleId: principalId, Arn: arn },
    Credentials: credentials(session),
  };
}

/** The tags a session hands on to the roles it assumes (IAM User Guide, "Chaining roles with session tags"). */
function transitiveTags({ tags, transitiveTagKeys = [] }: Principal): ReadonlyMap<string, string> {
  const wanted = new Set(transitiveTagKeys.map((key) => key.toLowerCase()));
  return new Map([...(tags ?? [])].filter(([key]) => wanted.has(key.toLowerCase())));
}

/** @throws AwsError InvalidParameterValueException */
function refuseOverriding(inherited: ReadonlyMap<string, string>, { Tags }: AssumeRoleInput): void {
  const taken = new Set([...inherited.keys()].map((key) => key.toLowerCase()));
  if ([...Tags.keys()].some((key) => taken.has(key.toLowerCase()))) {
    throw new AwsError(
      'InvalidParameterValueException',
      "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
    );
  }
}

function credentials(session: ReturnType<SessionIssuer['issue']>): StsResult {
  return {
    AccessKeyId: session.id,
    SecretAccessKey: session.secret,
    SessionToken: session.sessionToken,
    Expiration: `${new Date(session.expiresAtMs).toISOString().slice(0, 19)}Z`,
  };
}

/** The keys of `sts:AssumeRole` besides those of every call. */
function assumeRoleContext(
  { accessKey, region }: VerifiedCaller,
  input: AssumeRoleInput,
  { sourceIpAddress, headers, tls }: HttpRequest,
  nowMs: number,
): ConditionContext {
  const own: ReadonlyMap<string, string | undefined> = new Map([
    ['sts:externalid', input.ExternalId],
    ['sts:rolesessionname', input.RoleSessionName],
    ['sts:sourceidentity', input.SourceIdentity],
  ]);
  const common = createConditionContext('sts:AssumeRole', {
    principal: accessKey.principal,
    region,
    nowMs,
    sourceIpAddress,
    userAgent: headers.get('user-agent'),
    secureTransport: tls !== undefined,
    input:
      input.Tags.size === 0
        ? {}
        : { Tags: [...input.Tags].map(([TagKey, TagValue]) => ({ TagKey, TagValue })) },
    resourceAccountId: input.RoleArn.split(':')[4] ?? '',
    aliasNames: () => [],
  });
  return {
    values(key) {
      const value = own.get(key);
      return value === undefined ? common.values(key) : [value];
    },
  };
}

function checkDuration(role: Role, chained: boolean, seconds: number): void {
  if (seconds > role.maxSessionSeconds) {
    throw new AwsError(
      'ValidationException',
      'The requested DurationSeconds exceeds the MaxSessionDuration set for this role.',
    );
  }
  if (chained && seconds > CHAINED_SESSION_SECONDS) {
    throw new AwsError(
      'ValidationException',
      'The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.',
    );
  }
}

function checkSessionPolicies({ Policy, PolicyArns }: AssumeRoleInput): void {
  const unknown = PolicyArns.find((arn) => findManagedPolicy(arn) === undefined);
  if (unknown !== undefined) {
    throw new AwsError('ValidationException', `Policy ${unknown} does not exist or is not attachable.`);
  }
  try {
    if (Policy !== undefined) compileNewPolicy(Policy, 'identity');
  } catch (error) {
    if (error instanceof PolicyError) throw new AwsError('MalformedPolicyDocumentException', error.message);
    throw error;
  }
}

/** STS names neither side that refused; whether the role exists is not told either. */
function notAuthorized(arn: string, action: string, roleArn: string): AwsError {
  return new AwsError(
    'AccessDeniedException',
    `User: ${arn} is not authorized to perform: ${action} on resource: ${roleArn}`,
  );
}
