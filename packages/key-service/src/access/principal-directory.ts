/**
 * The directory of everybody a configuration names: users with the policies of their groups, roles with their trust.
 */
import { createHash } from 'node:crypto';
import { KeyServiceError } from '../errors.js';
import { findManagedPolicy, MANAGED_POLICY_NAMES } from './managed-policies.js';
import { type CompiledPolicy, compilePolicyObject, PolicyError, type PolicyKind } from './policy.js';
import type { AccountConfig, RoleConfig, UserConfig } from './principals-file.js';
import {
  type AccessKey,
  accountRootArn,
  parseSessionArn,
  type Principal,
  type PrincipalDirectory,
  type Role,
  roleSession,
} from './principals.js';

const DEFAULT_MAX_SESSION_SECONDS = 3600;

/** @throws KeyServiceError invalid-principals */
export function createPrincipalDirectory(accounts: readonly AccountConfig[]): PrincipalDirectory {
  const accessKeys = new Map<string, AccessKey>();
  const principals = new Map<string, Principal>();
  const roles = new Map<string, Role>();
  /** By account and name without path, as session ARNs name them. */
  const rolesByName = new Map<string, Role>();
  const addOnce = <T>(map: Map<string, T>, name: string, value: T, shown = name): void => {
    if (map.has(name)) throw invalidPrincipals(shown, 'is there twice');
    map.set(name, value);
  };

  for (const account of accounts) {
    const { id } = account;
    const named = accountPolicies(account);
    const limits = readAccountLimits(account, named);
    addOnce(principals, accountRootArn(id), { ...createRootPrincipal(id), ...limits }, `account ${id}`);
    const groups = new Map<string, readonly CompiledPolicy[]>();
    for (const group of account.groups ?? []) {
      const at = `arn:aws:iam::${id}:group/${group.name}`;
      addOnce(groups, group.name, readPolicies(group.policies, at, named), at);
    }
    for (const user of account.users) {
      const principal = { ...createUser(id, user, groups, named), ...limits };
      addOnce(principals, principal.arn, principal);
      for (const key of user.accessKeys) {
        addOnce(accessKeys, key.id, { ...key, principal }, `access key ${key.id}`);
      }
    }
    for (const config of account.roles ?? []) {
      const role = { ...createRole(id, config, named), ...limits };
      addOnce(roles, role.arn, role);
      addOnce(rolesByName, `${id}/${role.name}`, role, role.arn);
    }
  }
  function findPrincipal(arn: string): Principal | undefined {
    const session = parseSessionArn(arn);
    const role =
      session === undefined ? roles.get(arn) : rolesByName.get(`${session.accountId}/${session.roleName}`);
    return role === undefined ? principals.get(arn) : roleSession(role, session?.sessionName ?? 'session');
  }
  return {
    findAccessKey: (accessKeyId) => accessKeys.get(accessKeyId),
    findRole: (arn) => roles.get(arn),
    findPrincipal,
    accountIds: accounts.map(({ id }) => id),
    hasPrincipal(arn) {
      const session = parseSessionArn(arn);
      return session === undefined
        ? principals.has(arn) || roles.has(arn)
        : rolesByName.has(`${session.accountId}/${session.roleName}`);
    },
  };
}

/** The principal the process itself acts as when it makes keys before any caller can. */
export function createRootPrincipal(accountId: string): Principal {
  return { kind: 'root', accountId, arn: accountRootArn(accountId), principalId: accountId, policies: [] };
}

type NamedPolicies = ReadonlyMap<string, CompiledPolicy>;

function createUser(
  accountId: string,
  user: UserConfig,
  groups: ReadonlyMap<string, readonly CompiledPolicy[]>,
  named: NamedPolicies,
): Principal {
  const arn = `arn:aws:iam::${accountId}:user/${user.name}`;
  const ofGroups = (user.groups ?? []).flatMap((name) => {
    const policies = groups.get(name);
    if (policies === undefined) throw invalidPrincipals(arn, `is in the group '${name}', which is not there`);
    return policies;
  });
  return {
    kind: 'user',
    accountId,
    arn,
    principalId: `AIDA${uniqueId(arn)}`,
    userName: lastName(user.name),
    policies: [...readPolicies(user.policies, arn, named), ...ofGroups, ...revocation(user)],
    ...readBoundary(user, arn, named),
    tags: new Map(Object.entries(user.tags ?? {})),
  };
}

function createRole(accountId: string, role: RoleConfig, named: NamedPolicies): Role {
  const arn = `arn:aws:iam::${accountId}:role/${role.name}`;
  return {
    accountId,
    arn,
    name: lastName(role.name),
    roleId: `AROA${uniqueId(arn)}`,
    trustPolicy: compile(role.trustPolicy, 'trust', `${arn}, trustPolicy`, 'trust policy'),
    policies: [...readPolicies(role.policies, arn, named), ...revocation(role)],
    ...readBoundary(role, arn, named),
    maxSessionSeconds: role.maxSessionDuration ?? DEFAULT_MAX_SESSION_SECONDS,
    tags: new Map(Object.entries(role.tags ?? {})),
  };
}

function readAccountLimits(
  { id, serviceControlPolicies }: AccountConfig,
  named: NamedPolicies,
): Pick<Principal, 'serviceControlPolicies'> {
  if (serviceControlPolicies === undefined) return {};
  const at = `account ${id}, service control`;
  return { serviceControlPolicies: readPolicies(serviceControlPolicies, at, named) };
}

function readBoundary(
  { permissionsBoundary }: Pick<UserConfig, 'permissionsBoundary'>,
  arn: string,
  named: NamedPolicies,
): Pick<Principal, 'permissionsBoundary'> {
  if (permissionsBoundary === undefined) return {};
  return { permissionsBoundary: readPolicies([permissionsBoundary], `${arn}, boundary`, named) };
}

/** The policy IAM's console attaches to revoke sessions, under the same name. */
function revocation({
  revokeSessionsBefore,
}: Pick<UserConfig, 'revokeSessionsBefore'>): readonly CompiledPolicy[] {
  if (revokeSessionsBefore === undefined) return [];
  const name = 'AWSRevokeOlderSessions';
  const issued = { 'aws:TokenIssueTime': new Date(revokeSessionsBefore).toISOString() };
  const statement = { Effect: 'Deny', Action: '*', Resource: '*', Condition: { DateLessThan: issued } };
  return [compilePolicyObject({ Version: '2012-10-17', Statement: [statement] }, 'identity', name)];
}

/** Stable across restarts without being stored: unique ids are names, not secrets. */
function uniqueId(arn: string): string {
  return createHash('sha256').update(arn).digest('hex').slice(0, 17).toUpperCase();
}

function lastName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

function accountPolicies({ id, policies = [] }: AccountConfig): NamedPolicies {
  const named = new Map<string, CompiledPolicy>();
  for (const { name, document } of policies) {
    const arn = `arn:aws:iam::${id}:policy/${name}`;
    if (named.has(name)) throw invalidPrincipals(arn, 'is there twice');
    const compiled = compile(document, 'identity', arn, name);
    named.set(name, compiled);
    named.set(arn, compiled);
  }
  return named;
}

function readPolicies(
  policies: readonly unknown[],
  at: string,
  named: NamedPolicies,
): readonly CompiledPolicy[] {
  return policies.map((policy, index) => {
    const where = `${at}, policies[${index}]`;
    if (typeof policy !== 'string') return compile(policy, 'identity', where, where);
    const found = named.get(policy) ?? findManagedPolicy(policy);
    if (found === undefined) {
      throw invalidPrincipals(
        where,
        `must be ${MANAGED_POLICY_NAMES.join(', ')}, the name of a policy of the account, or a policy document`,
      );
    }
    return found;
  });
}

function compile(document: unknown, kind: PolicyKind, at: string, name: string): CompiledPolicy {
  try {
    return compilePolicyObject(document, kind, name);
  } catch (error) {
    if (error instanceof PolicyError)
      throw invalidPrincipals(at, `is not a policy: ${error.message.replace(/\.$/, '')}`);
    throw error;
  }
}

export function invalidPrincipals(at: string, what: string): KeyServiceError {
  return new KeyServiceError('invalid-principals', `Principals: ${at} ${what}.`);
}
