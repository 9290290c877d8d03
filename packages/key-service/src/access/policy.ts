/**
 * Policy documents: parsed once, evaluated many times.
 *
 * Source of the rule: IAM User Guide, "Grammar of the IAM JSON policy language". The condition language is not evaluated
 * yet, so a statement with conditions is read the safe way round: it never allows, and when it denies it always denies.
 */
import { depth, isJsonObject } from '../http/json-body.js';
import { compileGlob, type Glob } from './glob.js';

interface Statement {
  readonly sid: string | undefined;
  readonly effect: 'Allow' | 'Deny';
  readonly matchesAction: Glob;
  readonly matchesResource: Glob;
  /** Key policies only. */
  readonly principals: StatementPrincipals | undefined;
  readonly hasCondition: boolean;
}

export type StatementPrincipals =
  | { readonly kind: 'anyone' }
  | { readonly kind: 'listed'; readonly arns: ReadonlySet<string>; readonly accountIds: ReadonlySet<string> };

export interface CompiledPolicy {
  readonly statements: readonly Statement[];
}

/** Thrown by compilePolicy. The message quotes element names, never values. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
}

export type PolicyKind = 'identity' | 'key';

const MAX_DEPTH = 16;
const MAX_STATEMENTS = 1000;

const STATEMENT_ELEMENTS = new Set([
  'Sid',
  'Effect',
  'Principal',
  'Action',
  'NotAction',
  'Resource',
  'NotResource',
  'Condition',
]);

/**
 * @param document the policy's JSON text
 * @param kind a key policy names principals, an identity policy must not
 * @throws PolicyError
 */
export function compilePolicy(document: string, kind: PolicyKind): CompiledPolicy {
  if (depth(Buffer.from(document)) > MAX_DEPTH) throw new PolicyError('The policy is nested too deeply.');
  let parsed: unknown;
  try {
    parsed = JSON.parse(document);
  } catch {
    throw new PolicyError('This policy contains invalid Json');
  }
  return compilePolicyObject(parsed, kind);
}

/** As compilePolicy, for a policy that is already an object (a principals file). */
export function compilePolicyObject(parsed: unknown, kind: PolicyKind): CompiledPolicy {
  if (!isJsonObject(parsed)) throw new PolicyError('Syntax errors in policy.');
  for (const element of Object.keys(parsed)) {
    if (element !== 'Version' && element !== 'Id' && element !== 'Statement') {
      throw new PolicyError('Syntax errors in policy.');
    }
  }
  const version = parsed['Version'];
  if (version !== undefined && version !== '2012-10-17' && version !== '2008-10-17') {
    throw new PolicyError('The policy must contain a valid version string');
  }
  const statement = parsed['Statement'];
  const list: readonly unknown[] = Array.isArray(statement) ? statement : [statement];
  if (statement === undefined || list.length === 0) throw new PolicyError('Syntax errors in policy.');
  if (list.length > MAX_STATEMENTS) throw new PolicyError('The policy has too many statements.');
  return { statements: list.map((one) => compileStatement(one, kind)) };
}

function compileStatement(value: unknown, kind: PolicyKind): Statement {
  if (!isJsonObject(value)) throw new PolicyError('Syntax errors in policy.');
  for (const element of Object.keys(value)) {
    if (!STATEMENT_ELEMENTS.has(element)) throw new PolicyError('Syntax errors in policy.');
  }
  const effect = value['Effect'];
  if (effect !== 'Allow' && effect !== 'Deny') throw new PolicyError('Syntax errors in policy.');
  const sid = value['Sid'];
  if (sid !== undefined && typeof sid !== 'string') throw new PolicyError('Syntax errors in policy.');
  const condition = value['Condition'];
  if (condition !== undefined && !isJsonObject(condition)) throw new PolicyError('Syntax errors in policy.');
  return {
    sid,
    effect,
    // Action names are matched without regard to case, resources with it.
    matchesAction: compileEither(value['Action'], value['NotAction'], 'actions', true),
    matchesResource: compileEither(value['Resource'], value['NotResource'], 'resources', false),
    principals: compilePrincipals(value['Principal'], kind),
    hasCondition: condition !== undefined && Object.keys(condition).length > 0,
  };
}

function compileEither(positive: unknown, negative: unknown, what: string, ignoreCase: boolean): Glob {
  if ((positive === undefined) === (negative === undefined)) {
    throw new PolicyError(`Policy statement must contain ${what}.`);
  }
  const globs = texts(positive ?? negative).map((pattern) => compileGlob(pattern, ignoreCase));
  const any: Glob = globs.length === 1 ? (globs[0] as Glob) : (text) => globs.some((glob) => glob(text));
  return positive === undefined ? (text) => !any(text) : any;
}

function compilePrincipals(value: unknown, kind: PolicyKind): StatementPrincipals | undefined {
  if (kind === 'identity') {
    if (value !== undefined) throw new PolicyError('Policy document should not specify a principal.');
    return undefined;
  }
  if (value === '*') return { kind: 'anyone' };
  if (!isJsonObject(value)) throw new PolicyError('Policy statement must contain principals.');
  const arns = new Set<string>();
  const accountIds = new Set<string>();
  for (const [type, names] of Object.entries(value)) {
    if (type !== 'AWS' && type !== 'Service' && type !== 'Federated') {
      throw new PolicyError('Policy contains a statement with one or more invalid principals.');
    }
    for (const name of texts(names)) {
      // No AWS service and no federated user ever signs a request here: such principals match nobody.
      if (type !== 'AWS') continue;
      if (name === '*') return { kind: 'anyone' };
      const account = /^(?:arn:aws:iam::)?(\d{12})(?::root)?$/.exec(name)?.[1];
      if (account !== undefined) accountIds.add(account);
      else if (/^arn:aws:(iam|sts)::\d{12}:[\w+=,.@/-]+$/.test(name)) arns.add(name);
      else throw new PolicyError('Policy contains a statement with one or more invalid principals.');
    }
  }
  return { kind: 'listed', arns, accountIds };
}

function texts(value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0) throw new PolicyError('Syntax errors in policy.');
  return list.map((item) => {
    if (typeof item !== 'string' || item === '') throw new PolicyError('Syntax errors in policy.');
    return item;
  });
}

/** What CreateKey gives a key without a policy: the account decides by its identity policies. */
export function defaultKeyPolicy(accountId: string): string {
  return JSON.stringify(
    {
      Version: '2012-10-17',
      Id: 'key-default-1',
      Statement: [
        {
          Sid: 'Enable IAM User Permissions',
          Effect: 'Allow',
          Principal: { AWS: `arn:aws:iam::${accountId}:root` },
          Action: 'kms:*',
          Resource: '*',
        },
      ],
    },
    null,
    2,
  );
}

/** The managed policy of that name. */
export const ADMINISTRATOR_ACCESS: CompiledPolicy = compilePolicyObject(
  { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] },
  'identity',
);
