/**
 * Principals from a YAML file:
 *
 * ```yaml
 * accounts:
 *   - id: "123456789012"
 *     users:
 *       - name: admin
 *         accessKeys: [{ id: AKIA…, secret: … }]
 *         policies: [AdministratorAccess]   # or inline policy documents
 * ```
 *
 * Groups, roles, tags and policies of an account's own are in docs/key-service.md. Unknown members are refused: a
 * misspelt `policies` must not pass for no policy.
 */
import { parseConfigYaml, yamlFault } from '../config-yaml.js';
import { isJsonObject, type JsonObject } from '../http/json-body.js';
import { createPrincipalDirectory, invalidPrincipals } from './principal-directory.js';
import type { PrincipalDirectory } from './principals.js';

export interface AccountConfig {
  readonly id: string;
  readonly users: readonly UserConfig[];
  readonly groups?: readonly GroupConfig[];
  readonly roles?: readonly RoleConfig[];
  /** Policies of the account's own, to be used by name. */
  readonly policies?: readonly { readonly name: string; readonly document: unknown }[];
  /** Limit everybody in the account; names of policies, or documents. Absent: no limit. */
  readonly serviceControlPolicies?: readonly unknown[] | undefined;
}

interface AccessKeyConfig {
  readonly id: string;
  readonly secret: string;
  /** The service that calls with it on the user's behalf: `ec2.us-east-1.amazonaws.com`. */
  readonly viaService?: string;
}

export interface UserConfig {
  /** May begin with a path: `engineering/alice`. */
  readonly name: string;
  readonly accessKeys: readonly AccessKeyConfig[];
  /** Names of managed policies or of the account's own, or policy documents. */
  readonly policies: readonly unknown[];
  /** Names of groups. */
  readonly groups?: readonly string[];
  readonly tags?: Readonly<Record<string, string>>;
  /** Name of a policy, or a document; limits what all the others allow. */
  readonly permissionsBoundary?: unknown;
  /** Sessions issued before are denied everything. ISO 8601. */
  readonly revokeSessionsBefore?: string | undefined;
}

interface GroupConfig {
  readonly name: string;
  readonly policies: readonly unknown[];
}

export interface RoleConfig {
  /** May begin with a path: `service-role/deployer`. */
  readonly name: string;
  /** Who may assume it: a policy document with principals and `sts:AssumeRole`. */
  readonly trustPolicy: unknown;
  readonly policies: readonly unknown[];
  /** 3600 to 43200; default 3600. */
  readonly maxSessionDuration?: number;
  readonly tags?: Readonly<Record<string, string>>;
  /** As of users. */
  readonly permissionsBoundary?: unknown;
  readonly revokeSessionsBefore?: string | undefined;
}

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const NAME = /^(?:[\w+=,.@-]+\/)*[\w+=,.@-]{1,128}$/;
const NAME_RULE =
  'must be 1 to 128 letters, digits or +=,.@_-, with a path of such names before it if wanted';

/** @throws KeyServiceError invalid-principals; the message names the place in the file, never a secret */
export function parsePrincipals(yaml: string): PrincipalDirectory {
  if (Buffer.byteLength(yaml) > MAX_FILE_BYTES) throw invalidPrincipals('the file', 'is larger than 4 MiB');
  const document = parseConfigYaml(yaml);
  if (document === undefined) throw invalidPrincipals('the file', yamlFault(yaml));
  const file = members(document, 'the file', ['accounts', 'throttling']);
  return createPrincipalDirectory(list(file['accounts'], 'accounts').map(readAccount));
}

function readAccount(value: unknown, index: number): AccountConfig {
  const at = `accounts[${index}]`;
  const account = members(value, at, [
    'id',
    'users',
    'groups',
    'roles',
    'policies',
    'keys',
    'tokens',
    'serviceControlPolicies',
  ]);
  const id = account['id'];
  if (typeof id !== 'string' || !/^\d{12}$/.test(id))
    throw invalidPrincipals(`${at}.id`, 'must be 12 digits in quotes');
  return {
    id,
    users: each(account, 'users', at, readUser),
    groups: each(account, 'groups', at, readGroup),
    roles: each(account, 'roles', at, readRole),
    policies: each(account, 'policies', at, readNamedPolicy),
    ...(account['serviceControlPolicies'] === undefined
      ? {}
      : { serviceControlPolicies: list(account['serviceControlPolicies'], `${at}.serviceControlPolicies`) }),
  };
}

function readUser(value: unknown, at: string): UserConfig {
  const user = members(value, at, ['name', 'accessKeys', 'policies', 'groups', 'tags', ...LIMITS]);
  return {
    name: readName(user, at),
    accessKeys: each(user, 'accessKeys', at, readAccessKey),
    policies: list(user['policies'] ?? [], `${at}.policies`),
    groups: each(user, 'groups', at, readText),
    tags: readTags(user['tags'], `${at}.tags`),
    ...readLimits(user, at),
  };
}

function readGroup(value: unknown, at: string): GroupConfig {
  const group = members(value, at, ['name', 'policies']);
  return { name: readName(group, at), policies: list(group['policies'] ?? [], `${at}.policies`) };
}

function readRole(value: unknown, at: string): RoleConfig {
  const role = members(value, at, [
    'name',
    'trustPolicy',
    'policies',
    'maxSessionDuration',
    'tags',
    ...LIMITS,
  ]);
  const seconds = role['maxSessionDuration'] ?? 3600;
  if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds < 3600 || seconds > 43_200) {
    throw invalidPrincipals(`${at}.maxSessionDuration`, 'must be 3600 to 43200 seconds');
  }
  if (role['trustPolicy'] === undefined) {
    throw invalidPrincipals(`${at}.trustPolicy`, 'is missing: it says who may assume the role');
  }
  return {
    name: readName(role, at),
    trustPolicy: role['trustPolicy'],
    policies: list(role['policies'] ?? [], `${at}.policies`),
    maxSessionDuration: seconds,
    tags: readTags(role['tags'], `${at}.tags`),
    ...readLimits(role, at),
  };
}

const LIMITS = ['permissionsBoundary', 'revokeSessionsBefore'];

function readLimits(
  { permissionsBoundary, revokeSessionsBefore }: JsonObject,
  at: string,
): Pick<UserConfig, 'permissionsBoundary' | 'revokeSessionsBefore'> {
  const before = revokeSessionsBefore;
  if (before !== undefined && (typeof before !== 'string' || Number.isNaN(Date.parse(before)))) {
    throw invalidPrincipals(`${at}.revokeSessionsBefore`, 'must be a date such as "2026-01-31T12:00:00Z"');
  }
  return {
    ...(permissionsBoundary === undefined ? {} : { permissionsBoundary }),
    ...(before === undefined ? {} : { revokeSessionsBefore: before }),
  };
}

function readNamedPolicy(value: unknown, at: string): { readonly name: string; readonly document: unknown } {
  const policy = members(value, at, ['name', 'document']);
  return { name: readName(policy, at), document: policy['document'] };
}

const SERVICE = /^[a-z][a-z0-9-]{0,62}(?:\.[a-z0-9-]{1,63}){0,3}\.amazonaws\.com$/;

function readAccessKey(value: unknown, at: string): AccessKeyConfig {
  const { id, secret, viaService } = members(value, at, ['id', 'secret', 'viaService']);
  if (typeof id !== 'string' || !/^\w{1,128}$/.test(id))
    throw invalidPrincipals(`${at}.id`, 'must be 1 to 128 letters or digits');
  if (typeof secret !== 'string' || secret.length < 8 || secret.length > 256) {
    throw invalidPrincipals(`${at}.secret`, 'must be 8 to 256 characters');
  }
  if (viaService === undefined) return { id, secret };
  if (typeof viaService !== 'string' || !SERVICE.test(viaService)) {
    throw invalidPrincipals(`${at}.viaService`, 'must be a service such as ec2.us-east-1.amazonaws.com');
  }
  return { id, secret, viaService };
}

function readName(object: JsonObject, at: string): string {
  const name = object['name'];
  if (typeof name !== 'string' || !NAME.test(name)) throw invalidPrincipals(`${at}.name`, NAME_RULE);
  return name;
}

function readText(value: unknown, at: string): string {
  if (typeof value !== 'string') throw invalidPrincipals(at, 'must be a text');
  return value;
}

function readTags(value: unknown, at: string): Readonly<Record<string, string>> {
  if (value === undefined) return {};
  if (!isJsonObject(value)) throw invalidPrincipals(at, 'must be a mapping');
  return Object.fromEntries(
    Object.entries(value).map(([key, text]) => [key, readText(text, `${at}.${key}`)] as const),
  );
}

function members(value: unknown, at: string, known: readonly string[]): JsonObject {
  if (!isJsonObject(value)) throw invalidPrincipals(at, 'must be a mapping');
  for (const name of Object.keys(value)) {
    if (!known.includes(name))
      throw invalidPrincipals(at, `has an unknown member '${name}'; known are ${known.join(', ')}`);
  }
  return value;
}

function list(value: unknown, at: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalidPrincipals(at, 'must be a list');
  return value;
}

function each<T>(
  object: JsonObject,
  member: string,
  at: string,
  read: (value: unknown, at: string) => T,
): readonly T[] {
  return list(object[member] ?? [], `${at}.${member}`).map((one, i) => read(one, `${at}.${member}[${i}]`));
}
