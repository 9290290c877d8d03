/**
 * Policy documents: parsed once, evaluated many times.
 *
 * Source of the rule: IAM User Guide, "Grammar of the IAM JSON policy language". Whatever is not in the grammar makes the
 * document malformed: a statement that cannot be understood must not quietly allow or fail to deny.
 */
import { depth, isJsonObject, parseUniqueJson } from '../http/json-body.js';
import { compileArnPattern } from './arn-pattern.js';
import { compileTextPattern } from './condition-operators.js';
import { compileConditions, type Condition } from './conditions.js';
import { compileGlob, type Glob } from './glob.js';
import { PolicyError, SYNTAX_ERROR } from './policy-error.js';
import type { ConditionContext } from './policy-variables.js';
import { compilePrincipals, type StatementPrincipals, texts } from './statement-principals.js';

export { PolicyError } from './policy-error.js';

export interface Statement {
  /** Position in the document, from 0. */
  readonly index: number;
  readonly sid: string | undefined;
  readonly effect: 'Allow' | 'Deny';
  /** Key policies and trust policies only. */
  readonly principals: StatementPrincipals | undefined;
  readonly matchesResource: (resource: string, context: ConditionContext) => boolean;
  readonly conditions: readonly Condition[];
}

export interface CompiledPolicy {
  /** For explanations: a managed policy's name, `key policy`, … */
  readonly name: string;
  readonly statements: readonly Statement[];
  /** The statements that speak of an action, in their order. */
  statementsFor(action: string): readonly Statement[];
}

/**
 * - `identity`: of a user, group, role or session; names no principals.
 * - `key`: of a key; names principals.
 * - `trust`: of a role: who may assume it; names principals and no resource.
 */
export type PolicyKind = 'identity' | 'key' | 'trust';

const MAX_DEPTH = 16;
const MAX_STATEMENTS = 1000;
/** Actions come from the service's own table; this only guards against a caller who invents them. */
const MAX_REMEMBERED_ACTIONS = 256;

const STATEMENT_ELEMENTS = new Set([
  'Sid',
  'Effect',
  'Principal',
  'NotPrincipal',
  'Action',
  'NotAction',
  'Resource',
  'NotResource',
  'Condition',
]);

const ACTION = /^(?:\*+|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$/;

/**
 * @param document the policy's JSON text
 * @throws PolicyError
 */
export function compilePolicy(document: string, kind: PolicyKind, name = `${kind} policy`): CompiledPolicy {
  if (depth(Buffer.from(document)) > MAX_DEPTH) throw new PolicyError('The policy is nested too deeply.');
  let parsed: unknown;
  try {
    parsed = JSON.parse(document);
  } catch {
    throw new PolicyError('This policy contains invalid Json');
  }
  return compilePolicyObject(parsed, kind, name);
}

/**
 * As compilePolicy, for a policy somebody hands in: one that gives an element twice is malformed, because readers of it would disagree
 * on what it says. Policies stored before are compiled as they were accepted.
 *
 * @throws PolicyError
 */
export function compileNewPolicy(document: string, kind: PolicyKind): CompiledPolicy {
  const policy = compilePolicy(document, kind);
  if (parseUniqueJson(Buffer.from(document), MAX_DEPTH) === undefined) throw new PolicyError(SYNTAX_ERROR);
  return policy;
}

/** As compilePolicy, for a policy that is already an object (a principals file). */
export function compilePolicyObject(
  parsed: unknown,
  kind: PolicyKind,
  name = `${kind} policy`,
): CompiledPolicy {
  if (!isJsonObject(parsed)) throw new PolicyError(SYNTAX_ERROR);
  for (const element of Object.keys(parsed)) {
    if (element !== 'Version' && element !== 'Id' && element !== 'Statement') {
      throw new PolicyError(SYNTAX_ERROR);
    }
  }
  const { Version: version, Id: id, Statement: statement } = parsed;
  if (version !== undefined && version !== '2012-10-17' && version !== '2008-10-17') {
    throw new PolicyError('The policy must contain a valid version string');
  }
  if (id !== undefined && typeof id !== 'string') throw new PolicyError(SYNTAX_ERROR);
  const list: readonly unknown[] = Array.isArray(statement) ? statement : [statement];
  if (statement === undefined || list.length === 0) throw new PolicyError(SYNTAX_ERROR);
  if (list.length > MAX_STATEMENTS) throw new PolicyError('The policy has too many statements.');
  const variables = version === '2012-10-17';
  const parts = list.map((one, index) => compileStatement(one, kind, index, variables));
  const byAction = new Map<string, readonly Statement[]>();
  return {
    name,
    statements: parts.map((part) => part.statement),
    statementsFor(action) {
      const known = byAction.get(action);
      if (known !== undefined) return known;
      const found = parts.filter((part) => part.matchesAction(action)).map((part) => part.statement);
      if (byAction.size < MAX_REMEMBERED_ACTIONS) byAction.set(action, found);
      return found;
    },
  };
}

function compileStatement(
  value: unknown,
  kind: PolicyKind,
  index: number,
  variables: boolean,
): { readonly statement: Statement; readonly matchesAction: Glob } {
  if (!isJsonObject(value)) throw new PolicyError(SYNTAX_ERROR);
  for (const element of Object.keys(value)) {
    if (!STATEMENT_ELEMENTS.has(element)) throw new PolicyError(SYNTAX_ERROR);
  }
  const effect = value['Effect'];
  if (effect !== 'Allow' && effect !== 'Deny') throw new PolicyError(SYNTAX_ERROR);
  const sid = value['Sid'];
  if (sid !== undefined && typeof sid !== 'string') throw new PolicyError(SYNTAX_ERROR);
  const principal = value['Principal'];
  const notPrincipal = value['NotPrincipal'];
  if (kind === 'identity' && (principal !== undefined || notPrincipal !== undefined)) {
    throw new PolicyError('Policy document should not specify a principal.');
  }
  return {
    matchesAction: compileActions(value['Action'], value['NotAction']),
    statement: {
      index,
      sid,
      effect,
      principals: kind === 'identity' ? undefined : compilePrincipals(principal, notPrincipal, effect),
      matchesResource: compileResources(value['Resource'], value['NotResource'], kind, variables),
      conditions: compileConditions(value['Condition'], variables),
    },
  };
}

/** Action names are matched without regard to case. */
function compileActions(positive: unknown, negative: unknown): Glob {
  if ((positive === undefined) === (negative === undefined)) {
    throw new PolicyError('Policy statement must contain actions.');
  }
  const globs = texts(positive ?? negative).map((pattern) => {
    if (!ACTION.test(pattern)) {
      throw new PolicyError('Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.');
    }
    return compileGlob(pattern, true);
  });
  const any: Glob = (action) => globs.some((glob) => glob(action));
  return positive === undefined ? (action) => !any(action) : any;
}

function compileResources(
  positive: unknown,
  negative: unknown,
  kind: PolicyKind,
  variables: boolean,
): Statement['matchesResource'] {
  if (kind === 'trust') {
    if (positive !== undefined || negative !== undefined) {
      throw new PolicyError('Has prohibited field Resource');
    }
    return () => true;
  }
  if ((positive === undefined) === (negative === undefined)) {
    throw new PolicyError('Policy statement must contain resources.');
  }
  const matchers = texts(positive ?? negative).map((pattern) => {
    if (!/^(?:arn:|[*?]|\$\{)/.test(pattern)) {
      throw new PolicyError('Policy contains a statement with one or more invalid resources.');
    }
    return compileTextPattern(pattern, variables, compileArnPattern);
  });
  if (positive === undefined) {
    return (resource, context) => !matchers.some((matches) => matches(resource, context));
  }
  return (resource, context) => matchers.some((matches) => matches(resource, context));
}

/**
 * A key policy that was accepted when it was stored. Should it no longer be understood, it allows nothing: identity policies
 * cannot help either, because nothing delegates to them.
 */
export function compileStoredKeyPolicy(document: string): CompiledPolicy {
  try {
    return compilePolicy(document, 'key');
  } catch (error) {
    if (error instanceof PolicyError) return { name: 'key policy', statements: [], statementsFor: () => [] };
    throw error;
  }
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
