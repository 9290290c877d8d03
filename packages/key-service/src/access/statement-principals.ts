/**
 * The Principal and NotPrincipal elements: whom a statement of a key policy or trust policy speaks of.
 *
 * Source of the rule: IAM User Guide, "AWS JSON policy elements: Principal". An account (its id or its root ARN) stands for
 * everybody in it, but only hands the decision on to their identity policies; a user, role or session is meant itself.
 */
import { isJsonObject } from '../http/json-body.js';
import { PolicyError, SYNTAX_ERROR } from './policy-error.js';
import { accountRootArn, type Principal } from './principals.js';

export type StatementPrincipals =
  | { readonly kind: 'anyone' }
  | { readonly kind: 'listed'; readonly names: PrincipalNames }
  /** Everyone but these. */
  | { readonly kind: 'not-listed'; readonly names: PrincipalNames };

interface PrincipalNames {
  /** Users, roles, sessions. */
  readonly arns: ReadonlySet<string>;
  readonly accountIds: ReadonlySet<string>;
}

/**
 * - `session`: a session or user by its own ARN; `role`: a session by its role, or anyone by `*`: session policies still
 *   limit it. `account`: the account, which delegates to identity policies.
 */
export type PrincipalMatch = 'session' | 'role' | 'account' | 'none';

const INVALID_PRINCIPALS = 'Policy contains a statement with one or more invalid principals.';
const ACCOUNT = /^(?:arn:aws:iam::)?(\d{12})(?::root)?$/;
const PRINCIPAL_ARN =
  /^arn:aws:(?:iam::\d{12}:(?:user|role)\/[\w+=,.@/-]+|sts::\d{12}:(?:assumed-role\/[\w+=,.@-]+|federated-user)\/[\w+=,.@-]+)$/;
const SERVICE = /^[a-z0-9.-]+\.amazonaws\.com(?:\.cn)?$/;

/** @throws PolicyError */
export function compilePrincipals(
  principal: unknown,
  notPrincipal: unknown,
  effect: 'Allow' | 'Deny',
): StatementPrincipals {
  if ((principal === undefined) === (notPrincipal === undefined)) {
    throw new PolicyError('Policy statement must contain principals.');
  }
  if (notPrincipal === undefined) {
    const names = readNames(principal);
    return names === 'anyone' ? { kind: 'anyone' } : { kind: 'listed', names };
  }
  // "Everyone else is allowed" would let in other accounts and callers nobody thought of; AWS advises against it.
  if (effect === 'Allow') throw new PolicyError('NotPrincipal may only be used with the Deny effect.');
  const names = readNames(notPrincipal);
  if (names === 'anyone') throw new PolicyError(INVALID_PRINCIPALS);
  return { kind: 'not-listed', names };
}

function readNames(value: unknown): 'anyone' | PrincipalNames {
  if (value === '*') return 'anyone';
  if (!isJsonObject(value)) throw new PolicyError(INVALID_PRINCIPALS);
  const arns = new Set<string>();
  const accountIds = new Set<string>();
  let anyone = false;
  const types = Object.entries(value);
  if (types.length === 0) throw new PolicyError('Policy statement must contain principals.');
  for (const [type, names] of types) {
    for (const name of texts(names)) {
      switch (type) {
        case 'AWS': {
          const account = ACCOUNT.exec(name)?.[1];
          if (name === '*') anyone = true;
          else if (account !== undefined) accountIds.add(account);
          else if (PRINCIPAL_ARN.test(name)) arns.add(name);
          else throw new PolicyError(INVALID_PRINCIPALS);
          break;
        }
        case 'Service':
          // No AWS service ever signs a request here, so it is checked and then stands for nobody.
          if (!SERVICE.test(name)) throw new PolicyError(INVALID_PRINCIPALS);
          break;
        case 'Federated':
          break;
        default:
          throw new PolicyError(INVALID_PRINCIPALS);
      }
    }
  }
  return anyone ? 'anyone' : { arns, accountIds };
}

export function matchPrincipal(principals: StatementPrincipals, principal: Principal): PrincipalMatch {
  if (principals.kind === 'anyone') return 'role';
  if (principals.kind === 'listed') return matchNames(principals.names, principal);
  const match = matchNames(principals.names, principal);
  // Naming an account spares its root user; others are spared when they, or their role, are named.
  return match === 'none' || match === 'account' ? 'role' : 'none';
}

function matchNames({ arns, accountIds }: PrincipalNames, principal: Principal): PrincipalMatch {
  const { arn, roleArn, accountId } = principal;
  if (arns.has(arn)) return 'session';
  if (roleArn !== undefined && arns.has(roleArn)) return 'role';
  if (!accountIds.has(accountId)) return 'none';
  return arn === accountRootArn(accountId) ? 'session' : 'account';
}

/** One text or a list of them, never empty. @throws PolicyError */
export function texts(value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0) throw new PolicyError(SYNTAX_ERROR);
  return list.map((item) => {
    if (typeof item !== 'string' || item === '') throw new PolicyError(SYNTAX_ERROR);
    return item;
  });
}
