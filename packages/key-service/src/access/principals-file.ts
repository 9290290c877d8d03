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
 * Unknown members are refused: a misspelt `policies` must not pass for no policy. docs/key-service.md shows the whole file.
 */
import { createHash } from 'node:crypto';
import { parse } from 'yaml';
import { KeyServiceError } from '../errors.js';
import { isJsonObject, type JsonObject } from '../http/json-body.js';
import { ADMINISTRATOR_ACCESS, type CompiledPolicy, compilePolicyObject, PolicyError } from './policy.js';
import { type AccessKey, accountRootArn, type Principal, type PrincipalDirectory } from './principals.js';

export interface AccountConfig {
  readonly id: string;
  readonly users: readonly UserConfig[];
}

export interface UserConfig {
  readonly name: string;
  readonly accessKeys: readonly { readonly id: string; readonly secret: string }[];
  /** The name `AdministratorAccess`, or policy documents. */
  readonly policies: readonly unknown[];
}

const MAX_FILE_BYTES = 4 * 1024 * 1024;

/** @throws KeyServiceError invalid-principals; the message names the place in the file, never a secret */
export function parsePrincipals(yaml: string): PrincipalDirectory {
  if (Buffer.byteLength(yaml) > MAX_FILE_BYTES) throw invalid('the file', 'is larger than 4 MiB');
  let document: unknown;
  try {
    document = parse(yaml, { maxAliasCount: 100, logLevel: 'error' });
  } catch {
    // The parser's message quotes the line, which may hold a secret.
    throw invalid('the file', 'is not YAML');
  }
  const file = members(document, 'the file', ['accounts']);
  return createPrincipalDirectory(list(file['accounts'], 'accounts').map(readAccount));
}

/** @throws KeyServiceError invalid-principals */
export function createPrincipalDirectory(accounts: readonly AccountConfig[]): PrincipalDirectory {
  const accessKeys = new Map<string, AccessKey>();
  const principals = new Set<string>();
  for (const account of accounts) {
    const root = accountRootArn(account.id);
    if (principals.has(root)) throw invalid(`account ${account.id}`, 'is there twice');
    principals.add(root);
    for (const user of account.users) {
      const principal = createUser(account.id, user);
      if (principals.has(principal.arn)) throw invalid(principal.arn, 'is there twice');
      principals.add(principal.arn);
      for (const { id, secret } of user.accessKeys) {
        if (accessKeys.has(id)) throw invalid(`access key ${id}`, 'is there twice');
        accessKeys.set(id, { id, secret, principal });
      }
    }
  }
  return {
    findAccessKey: (accessKeyId) => accessKeys.get(accessKeyId),
    accountIds: accounts.map(({ id }) => id),
    hasPrincipal: (arn) => principals.has(arn),
  };
}

/** The principal the process itself acts as when it makes keys before any caller can. */
export function createRootPrincipal(accountId: string): Principal {
  return { kind: 'root', accountId, arn: accountRootArn(accountId), principalId: accountId, policies: [] };
}

function createUser(accountId: string, user: UserConfig): Principal {
  const arn = `arn:aws:iam::${accountId}:user/${user.name}`;
  // Stable across restarts without being stored: unique ids are names, not secrets.
  const unique = createHash('sha256').update(arn).digest('hex').slice(0, 17).toUpperCase();
  return {
    kind: 'user',
    accountId,
    arn,
    principalId: `AIDA${unique}`,
    userName: user.name,
    policies: user.policies.map((policy, index) => readPolicy(policy, `${arn}, policies[${index}]`)),
  };
}

function readAccount(value: unknown, index: number): AccountConfig {
  const at = `accounts[${index}]`;
  const account = members(value, at, ['id', 'users']);
  const id = account['id'];
  if (typeof id !== 'string' || !/^\d{12}$/.test(id))
    throw invalid(`${at}.id`, 'must be 12 digits in quotes');
  return {
    id,
    users: list(account['users'] ?? [], `${at}.users`).map((user, i) => readUser(user, `${at}.users[${i}]`)),
  };
}

function readUser(value: unknown, at: string): UserConfig {
  const user = members(value, at, ['name', 'accessKeys', 'policies']);
  const name = user['name'];
  if (typeof name !== 'string' || !/^[\w+=,.@/-]{1,128}$/.test(name)) {
    throw invalid(`${at}.name`, 'must be 1 to 128 letters, digits or +=,.@_/-');
  }
  return {
    name,
    accessKeys: list(user['accessKeys'] ?? [], `${at}.accessKeys`).map((key, i) =>
      readAccessKey(key, `${at}.accessKeys[${i}]`),
    ),
    policies: list(user['policies'] ?? [], `${at}.policies`),
  };
}

function readAccessKey(value: unknown, at: string): { readonly id: string; readonly secret: string } {
  const key = members(value, at, ['id', 'secret']);
  const { id, secret } = key;
  if (typeof id !== 'string' || !/^\w{1,128}$/.test(id))
    throw invalid(`${at}.id`, 'must be 1 to 128 letters or digits');
  if (typeof secret !== 'string' || secret.length < 8 || secret.length > 256) {
    throw invalid(`${at}.secret`, 'must be 8 to 256 characters');
  }
  return { id, secret };
}

function readPolicy(value: unknown, at: string): CompiledPolicy {
  if (value === 'AdministratorAccess') return ADMINISTRATOR_ACCESS;
  if (typeof value === 'string') throw invalid(at, 'must be AdministratorAccess or a policy document');
  try {
    return compilePolicyObject(value, 'identity');
  } catch (error) {
    if (error instanceof PolicyError) throw invalid(at, `is not a policy: ${error.message}`);
    throw error;
  }
}

function members(value: unknown, at: string, known: readonly string[]): JsonObject {
  if (!isJsonObject(value)) throw invalid(at, 'must be a mapping');
  for (const name of Object.keys(value)) {
    if (!known.includes(name))
      throw invalid(at, `has an unknown member '${name}'; known are ${known.join(', ')}`);
  }
  return value;
}

function list(value: unknown, at: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(at, 'must be a list');
  return value;
}

function invalid(at: string, what: string): KeyServiceError {
  return new KeyServiceError('invalid-principals', `Principals: ${at} ${what}.`);
}
