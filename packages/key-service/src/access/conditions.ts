/**
 * The Condition element: operators, set operators, IfExists, and what a missing key means.
 *
 * Source of the rule: IAM User Guide, "Condition operators" and "Set operators for multivalued context keys". All conditions
 * of a statement must hold; of the values of one condition one must match, or none for a negated operator. A key that is
 * not in the request fails a condition, except: negated operators, IfExists, ForAllValues, and Null, which asks for it.
 */
import { isJsonObject } from '../http/json-body.js';
import { compileMatcher, isNegated, isOperator, type Matcher } from './condition-operators.js';
import { PolicyError, SYNTAX_ERROR } from './policy-error.js';
import type { ConditionContext } from './policy-variables.js';

export interface Condition {
  /** As the policy writes them, for explanations: `StringEquals`, `kms:ViaService`. */
  readonly operator: string;
  readonly key: string;
  readonly holds: (context: ConditionContext) => boolean;
}

const OPERATOR = /^(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?$/i;
const KEY = /^[A-Za-z0-9-]+:.+$/s;

/**
 * @param variables whether the policy's version has policy variables
 * @throws PolicyError
 */
export function compileConditions(element: unknown, variables: boolean): readonly Condition[] {
  if (element === undefined) return [];
  if (!isJsonObject(element)) throw new PolicyError(SYNTAX_ERROR);
  return Object.entries(element).flatMap(([operator, block]) => {
    if (!isJsonObject(block)) throw new PolicyError(SYNTAX_ERROR);
    return Object.entries(block).map(([key, values]) => compileCondition(operator, key, values, variables));
  });
}

function compileCondition(operator: string, key: string, value: unknown, variables: boolean): Condition {
  const [, set, base, ifExists] = OPERATOR.exec(operator) ?? [];
  if (base === undefined) throw new PolicyError(`Invalid Condition type : ${operator.slice(0, 64)}`);
  if (!KEY.test(key)) throw new PolicyError('Actions/Conditions must be prefaced by a vendor');
  const name = base.toLowerCase();
  const values = conditionValues(value);
  const shown = { operator, key };
  const wanted = key.toLowerCase();

  if (name === 'null') {
    if (set !== undefined || ifExists !== undefined)
      throw new PolicyError(`Invalid Condition type : ${operator}`);
    const absent = nullValue(values);
    return { ...shown, holds: (context) => ((context.values(wanted)?.length ?? 0) === 0) === absent };
  }
  if (!isOperator(name)) throw new PolicyError(`Invalid Condition type : ${operator.slice(0, 64)}`);
  const matches = compileMatcher(name, values, variables);
  const negated = isNegated(name);
  const satisfies: Matcher = negated ? (text, context) => !matches(text, context) : matches;

  if (set !== undefined) {
    const all = set.toLowerCase() === 'forallvalues';
    return {
      ...shown,
      holds(context) {
        const present = context.values(wanted) ?? [];
        const one = (text: string): boolean => satisfies(text, context);
        return all ? present.every(one) : present.some(one);
      },
    };
  }
  const withoutKey = negated || ifExists !== undefined;
  return {
    ...shown,
    holds(context) {
      const present = context.values(wanted);
      if (present === undefined || present.length === 0) return withoutKey;
      const some = present.some((text) => matches(text, context));
      return negated ? !some : some;
    },
  };
}

function conditionValues(value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0) throw new PolicyError(SYNTAX_ERROR);
  return list.map((item) => {
    if (typeof item === 'string') return item;
    if (typeof item === 'boolean' || typeof item === 'number') return String(item);
    throw new PolicyError(SYNTAX_ERROR);
  });
}

function nullValue(values: readonly string[]): boolean {
  const [value] = values;
  if (values.length !== 1 || (value !== 'true' && value !== 'false')) throw new PolicyError(SYNTAX_ERROR);
  return value === 'true';
}
