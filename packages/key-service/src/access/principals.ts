/**
 * Who may call: accounts, their users and roles, the sessions made from them, and the access keys that sign for all of these.
 *
 * Source of the rule: IAM User Guide, "IAM identifiers". A directory answers one question on the hot path: whose access
 * key is this?
 */
import type { CompiledPolicy } from './policy.js';

export interface Principal {
  readonly kind: 'root' | 'user' | 'assumed-role';
  readonly accountId: string;
  /**
   * `arn:aws:iam::123456789012:root`, `arn:aws:iam::123456789012:user/name` or
   * `arn:aws:sts::123456789012:assumed-role/role/session`.
   */
  readonly arn: string;
  /** CloudTrail's principalId: the account id for root, `AIDA…` for a user, `AROA…:session` for a session of a role. */
  readonly principalId: string;
  /** Users only. */
  readonly userName?: string;
  /** The role a session was made from. */
  readonly roleArn?: string;
  /** Identity policies, those of groups included. The account root needs none: it is allowed everything in its own account. */
  readonly policies: readonly CompiledPolicy[];
  /** What the session is limited to; absent: no limit. */
  readonly sessionPolicies?: readonly CompiledPolicy[];
  /** What the user or role is limited to; absent: no limit. */
  readonly permissionsBoundary?: readonly CompiledPolicy[];
  /** What everybody in the account is limited to; absent: no limit. */
  readonly serviceControlPolicies?: readonly CompiledPolicy[];
  /** `aws:PrincipalTag/…`. */
  readonly tags?: ReadonlyMap<string, string>;
  /** Of `tags`, those that go on to the next role the session assumes. */
  readonly transitiveTagKeys?: readonly string[];
  /** When temporary credentials were issued, milliseconds since the epoch. */
  readonly issuedAtMs?: number;
}

/** What roles are made of; a session of one is a Principal. */
export interface Role {
  readonly accountId: string;
  /** `arn:aws:iam::123456789012:role/path/name`. */
  readonly arn: string;
  readonly name: string;
  /** `AROA…`. */
  readonly roleId: string;
  readonly trustPolicy: CompiledPolicy;
  readonly policies: readonly CompiledPolicy[];
  readonly permissionsBoundary?: readonly CompiledPolicy[];
  readonly serviceControlPolicies?: readonly CompiledPolicy[];
  readonly maxSessionSeconds: number;
  readonly tags: ReadonlyMap<string, string>;
}

export interface AccessKey {
  readonly id: string;
  readonly secret: string;
  readonly principal: Principal;
  /** Temporary credentials carry a token that must come with every request. */
  readonly sessionToken?: string;
  readonly expiresAtMs?: number;
  /** The AWS service that calls with this key on behalf of the principal: `ec2.us-east-1.amazonaws.com`. */
  readonly viaService?: string;
}

export interface PrincipalDirectory {
  findAccessKey(accessKeyId: string): AccessKey | undefined;
  findRole(arn: string): Role | undefined;
  /** Users, account roots and sessions of roles by ARN; a role's own ARN gives a session of it. */
  findPrincipal(arn: string): Principal | undefined;
  readonly accountIds: readonly string[];
  /** True when a policy or grant may name this principal: an account, a user or role that exists, a session of such a role. */
  hasPrincipal(arn: string): boolean;
}

export function accountRootArn(accountId: string): string {
  return `arn:aws:iam::${accountId}:root`;
}

/** `arn:aws:sts::123456789012:assumed-role/role/session` in its parts; undefined for every other text. */
export function parseSessionArn(
  arn: string,
): { readonly accountId: string; readonly roleName: string; readonly sessionName: string } | undefined {
  const [, accountId, roleName, sessionName] =
    /^arn:aws:sts::(\d{12}):assumed-role\/([\w+=,.@-]+)\/([\w+=,.@-]{2,64})$/.exec(arn) ?? [];
  return accountId === undefined || roleName === undefined || sessionName === undefined
    ? undefined
    : { accountId, roleName, sessionName };
}

/** The limits a role hands on to its sessions. */
function limitsOf({
  permissionsBoundary,
  serviceControlPolicies,
}: Pick<Principal, 'permissionsBoundary' | 'serviceControlPolicies'>): Pick<
  Principal,
  'permissionsBoundary' | 'serviceControlPolicies'
> {
  return {
    ...(permissionsBoundary === undefined ? {} : { permissionsBoundary }),
    ...(serviceControlPolicies === undefined ? {} : { serviceControlPolicies }),
  };
}

/** The principal a session of a role acts as. */
export function roleSession(
  role: Role,
  sessionName: string,
  session: Pick<Principal, 'sessionPolicies' | 'issuedAtMs' | 'transitiveTagKeys'> & {
    readonly tags?: ReadonlyMap<string, string>;
  } = {},
): Principal {
  return {
    kind: 'assumed-role',
    accountId: role.accountId,
    arn: `arn:aws:sts::${role.accountId}:assumed-role/${role.name}/${sessionName}`,
    principalId: `${role.roleId}:${sessionName}`,
    roleArn: role.arn,
    policies: role.policies,
    ...limitsOf(role),
    ...(session.sessionPolicies === undefined ? {} : { sessionPolicies: session.sessionPolicies }),
    ...(session.issuedAtMs === undefined ? {} : { issuedAtMs: session.issuedAtMs }),
    ...(session.transitiveTagKeys === undefined ? {} : { transitiveTagKeys: session.transitiveTagKeys }),
    tags: new Map([...role.tags, ...(session.tags ?? [])]),
  };
}

export interface NewAccessKey {
  readonly id: string;
  readonly secret: string;
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/**
 * An access key in AWS's shape: `AKIA` (`ASIA` for temporary ones) and 16 characters, and a secret of 40. The secret is shown
 * once and kept safe by the caller.
 */
export function createAccessKey(
  randomBytes: (size: number) => Buffer,
  prefix: 'AKIA' | 'ASIA' = 'AKIA',
): NewAccessKey {
  return {
    id: `${prefix}${Array.from(randomBytes(16), (byte) => BASE32.charAt(byte & 31)).join('')}`,
    secret: randomBytes(30).toString('base64'),
  };
}
