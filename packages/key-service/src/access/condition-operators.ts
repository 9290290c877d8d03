/**
 * The condition operators of IAM as a table: how one value of a request is compared with the values of a policy.
 *
 * Source of the rule: IAM User Guide, "IAM JSON policy elements: Condition operators". Policy values are read once, when the
 * policy is compiled; a value its operator cannot read makes the policy malformed, so that no condition is silently false.
 */
import { BlockList, isIP } from 'node:net';
import { compileArnPattern } from './arn-pattern.js';
import { compilePattern, type Glob } from './glob.js';
import { PolicyError, SYNTAX_ERROR } from './policy-error.js';
import { type ConditionContext, fillIn, parsePolicyText } from './policy-variables.js';

/** True when a value of the request matches one of the policy's. */
export type Matcher = (text: string, context: ConditionContext) => boolean;

type Compile = (values: readonly string[], variables: boolean) => Matcher;

interface Operator {
  /** True: the condition holds when nothing matches. */
  readonly negated: boolean;
  readonly compile: Compile;
}

const is = (compile: Compile): Operator => ({ negated: false, compile });
const isNot = (compile: Compile): Operator => ({ negated: true, compile });

type Comparison = (value: number, limit: number) => boolean;
const equal: Comparison = (value, limit) => value === limit;
const less: Comparison = (value, limit) => value < limit;
const lessOrEqual: Comparison = (value, limit) => value <= limit;
const greater: Comparison = (value, limit) => value > limit;
const greaterOrEqual: Comparison = (value, limit) => value >= limit;

/** By name in lower case: IAM does not tell `StringEquals` from `stringEquals`. */
const OPERATORS: ReadonlyMap<string, Operator> = new Map(
  Object.entries({
    stringequals: is(stringEquals),
    stringnotequals: isNot(stringEquals),
    stringequalsignorecase: is(stringEqualsIgnoreCase),
    stringnotequalsignorecase: isNot(stringEqualsIgnoreCase),
    stringlike: is(textLike(compilePattern)),
    stringnotlike: isNot(textLike(compilePattern)),
    arnequals: is(textLike(compileArnPattern)),
    arnnotequals: isNot(textLike(compileArnPattern)),
    arnlike: is(textLike(compileArnPattern)),
    arnnotlike: isNot(textLike(compileArnPattern)),
    numericequals: is(ordered(parseNumber, equal)),
    numericnotequals: isNot(ordered(parseNumber, equal)),
    numericlessthan: is(ordered(parseNumber, less)),
    numericlessthanequals: is(ordered(parseNumber, lessOrEqual)),
    numericgreaterthan: is(ordered(parseNumber, greater)),
    numericgreaterthanequals: is(ordered(parseNumber, greaterOrEqual)),
    dateequals: is(ordered(parseDate, equal)),
    datenotequals: isNot(ordered(parseDate, equal)),
    datelessthan: is(ordered(parseDate, less)),
    datelessthanequals: is(ordered(parseDate, lessOrEqual)),
    dategreaterthan: is(ordered(parseDate, greater)),
    dategreaterthanequals: is(ordered(parseDate, greaterOrEqual)),
    bool: is(bool),
    binaryequals: is(binaryEquals),
    ipaddress: is(ipAddress),
    notipaddress: isNot(ipAddress),
  }),
);

export function isOperator(name: string): boolean {
  return OPERATORS.has(name);
}

export function isNegated(name: string): boolean {
  return OPERATORS.get(name)?.negated === true;
}

/**
 * @param name in lower case, one that isOperator knows
 * @throws PolicyError
 */
export function compileMatcher(name: string, values: readonly string[], variables: boolean): Matcher {
  const operator = OPERATORS.get(name);
  if (operator === undefined) throw new PolicyError(SYNTAX_ERROR);
  return operator.compile(values, variables);
}

function stringEquals(values: readonly string[], variables: boolean): Matcher {
  return equalTexts(values, variables, (text) => text);
}

function stringEqualsIgnoreCase(values: readonly string[], variables: boolean): Matcher {
  return equalTexts(values, variables, (text) => text.toLowerCase());
}

function equalTexts(values: readonly string[], variables: boolean, fold: (text: string) => string): Matcher {
  const texts = values.map((value) => parsePolicyText(value, { variables, wildcards: false }));
  const fixed = new Set(texts.flatMap((text) => (text.kind === 'fixed' ? [fold(text.text)] : [])));
  const templates = texts.filter((text) => text.kind === 'template');
  if (templates.length === 0) return (text) => fixed.has(fold(text));
  return (text, context) => {
    const subject = fold(text);
    return (
      fixed.has(subject) ||
      templates.some((template) => {
        const filled = fillIn(template, context);
        return filled !== undefined && fold(filled) === subject;
      })
    );
  };
}

function textLike(compile: (pattern: string) => Glob): Compile {
  return (values, variables) => {
    const matchers = values.map((value) => compileTextPattern(value, variables, compile));
    return (text, context) => matchers.some((matches) => matches(text, context));
  };
}

/** One pattern with wildcards and, where the version has them, variables. */
export function compileTextPattern(
  value: string,
  variables: boolean,
  compile: (pattern: string) => Glob,
): Matcher {
  const text = parsePolicyText(value, { variables, wildcards: true });
  if (text.kind === 'fixed') return compile(text.text);
  return (subject, context) => {
    const pattern = fillIn(text, context);
    return pattern !== undefined && compile(pattern)(subject);
  };
}

function ordered(parse: (text: string) => number, compare: Comparison): Compile {
  return (values) => {
    const limits = values.map(parse);
    if (limits.some(Number.isNaN)) throw new PolicyError(SYNTAX_ERROR);
    return (text) => {
      const value = parse(text);
      return limits.some((limit) => compare(value, limit));
    };
  };
}

function parseNumber(text: string): number {
  return /^[+-]?\d{1,300}(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?$/.test(text) ? Number(text) : Number.NaN;
}

const ISO_DATE =
  /^\d{4}(?:-\d{2}(?:-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?)?)?$/;

/** Milliseconds; an ISO 8601 date, or seconds since the epoch. A date without a zone is UTC. */
function parseDate(text: string): number {
  if (/^-?\d{5,12}(?:\.\d{1,9})?$/.test(text)) return Number(text) * 1000;
  if (!ISO_DATE.test(text)) return Number.NaN;
  const zoned = /T/.test(text) && !/(?:Z|[+-]\d{2}:?\d{2})$/.test(text) ? `${text}Z` : text;
  return Date.parse(zoned.replace(/([+-]\d{2})(\d{2})$/, '$1:$2'));
}

function bool(values: readonly string[], variables: boolean): Matcher {
  for (const value of values) {
    if (!/^(?:true|false)$/i.test(value) && !(variables && value.includes('${'))) {
      throw new PolicyError(SYNTAX_ERROR);
    }
  }
  return stringEqualsIgnoreCase(values, variables);
}

function binaryEquals(values: readonly string[]): Matcher {
  const wanted = new Set(
    values.map((value) => {
      const bytes = Buffer.from(value, 'base64');
      if (bytes.toString('base64') !== value) throw new PolicyError(SYNTAX_ERROR);
      return value;
    }),
  );
  return (text) => wanted.has(text);
}

function ipAddress(values: readonly string[]): Matcher {
  const ranges = new BlockList();
  for (const value of values) {
    const [address = '', prefix, ...rest] = value.split('/');
    const family = isIP(address);
    const bits = family === 4 ? 32 : 128;
    const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
    if (family === 0 || rest.length > 0 || !(length <= bits)) throw new PolicyError(SYNTAX_ERROR);
    ranges.addSubnet(address, length, family === 4 ? 'ipv4' : 'ipv6');
  }
  return (text) => {
    const family = isIP(text);
    return family !== 0 && ranges.check(text, family === 4 ? 'ipv4' : 'ipv6');
  };
}
