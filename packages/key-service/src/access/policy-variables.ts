/**
 * Policy variables: `${aws:username}`, `${aws:username, 'nobody'}`, and `${*}`, `${?}`, `${$}` for the characters themselves.
 *
 * Source of the rule: IAM User Guide, "IAM policy elements: Variables and tags". Only policies of version 2012-10-17 have
 * them. A variable whose key is not in the request and that has no default makes its text match nothing.
 */
import { holdsWildcardMarks, toPattern } from './glob.js';
import { PolicyError, SYNTAX_ERROR } from './policy-error.js';

/** What a condition or variable can ask of a request. */
export interface ConditionContext {
  /**
   * @param key a condition key in lower case, e.g. `aws:principalarn`, `kms:encryptioncontext:department`
   * @returns its values; undefined when the request does not have the key
   */
  values(key: string): readonly string[] | undefined;
}

/** Text of a policy: fixed, or with variables to fill in. */
export type PolicyText =
  | { readonly kind: 'fixed'; readonly text: string }
  | { readonly kind: 'template'; readonly pieces: readonly Piece[] };

type Piece = string | { readonly key: string; readonly fallback: string | undefined };

export interface PolicyTextRules {
  /** False in policies of version 2008-10-17, where `${` is text. */
  readonly variables: boolean;
  /** True: `*` and `?` become the marks of glob.ts. */
  readonly wildcards: boolean;
}

const VARIABLE = /^\s*([^\s,']+)\s*(?:,\s*'([^']*)'\s*)?$/;

/** @throws PolicyError */
export function parsePolicyText(text: string, { variables, wildcards }: PolicyTextRules): PolicyText {
  if (holdsWildcardMarks(text)) throw new PolicyError(SYNTAX_ERROR);
  const plain = (part: string): string => (wildcards ? toPattern(part) : part);
  if (!variables || !text.includes('${')) return { kind: 'fixed', text: plain(text) };
  const pieces: Piece[] = [];
  let literal = '';
  let at = 0;
  for (;;) {
    const open = text.indexOf('${', at);
    if (open < 0) break;
    literal += plain(text.slice(at, open));
    const close = text.indexOf('}', open);
    if (close < 0) throw new PolicyError(SYNTAX_ERROR);
    const inside = text.slice(open + 2, close);
    at = close + 1;
    if (inside === '*' || inside === '?' || inside === '$') {
      literal += inside;
      continue;
    }
    const [, key, fallback] = VARIABLE.exec(inside) ?? [];
    if (key === undefined) throw new PolicyError(SYNTAX_ERROR);
    if (literal !== '') pieces.push(literal);
    literal = '';
    pieces.push({ key: key.toLowerCase(), fallback });
  }
  literal += plain(text.slice(at));
  if (pieces.length === 0) return { kind: 'fixed', text: literal };
  if (literal !== '') pieces.push(literal);
  return { kind: 'template', pieces };
}

/** Undefined when a variable has no single value in this request. */
export function fillIn(text: PolicyText, context: ConditionContext): string | undefined {
  if (text.kind === 'fixed') return text.text;
  let filled = '';
  for (const piece of text.pieces) {
    if (typeof piece === 'string') {
      filled += piece;
      continue;
    }
    const values = context.values(piece.key);
    const value = values === undefined || values.length === 0 ? piece.fallback : values[0];
    if (value === undefined || (values !== undefined && values.length > 1) || holdsWildcardMarks(value)) {
      return undefined;
    }
    filled += value;
  }
  return filled;
}
