/**
 * Label selectors: `a=b,c in (d,e),!f`.
 *
 * Source of the rule: k8s.io/apimachinery `labels` (grammar, precedence, messages). The parser is total: every text
 * gives a selector or an error.
 */
import { invalidValue } from '../registry/validation/field-error.js';
import { labelValueErrors, qualifiedNameErrors } from '../registry/validation/names.js';
import { badRequest } from './status-errors.js';

type Operator = 'in' | 'notin' | 'exists' | 'absent' | 'gt' | 'lt';

interface Requirement {
  readonly key: string;
  readonly operator: Operator;
  readonly values: readonly string[];
}

export interface LabelSelector {
  readonly empty: boolean;
  matches(labels: Readonly<Record<string, string>> | undefined): boolean;
}

interface Token {
  readonly kind:
    'end' | 'error' | 'identifier' | ')' | ',' | '!' | '==' | '=' | '>' | '<' | '!=' | '(' | 'in' | 'notin';
  readonly text: string;
}

const SYMBOLS = ['==', '!=', ')', ',', '!', '=', '>', '<', '('] as const;
const isSpecial = (c: string): boolean => '=!(),><'.includes(c);
const isSpace = (c: string): boolean => c === ' ' || c === '\t' || c === '\r' || c === '\n';

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const c = text[at] as string;
    if (isSpace(c)) {
      at++;
      continue;
    }
    if (isSpecial(c)) {
      const symbol = SYMBOLS.find((s) => text.startsWith(s, at)) as (typeof SYMBOLS)[number];
      tokens.push({ kind: symbol, text: symbol });
      at += symbol.length;
      continue;
    }
    const start = at;
    while (at < text.length && !isSpecial(text[at] as string) && !isSpace(text[at] as string)) at++;
    const word = text.slice(start, at);
    tokens.push({ kind: word === 'in' || word === 'notin' ? word : 'identifier', text: word });
  }
  tokens.push({ kind: 'end', text: '' });
  return tokens;
}

const END: Token = { kind: 'end', text: '' };
const BINARY_OPERATORS = 'in, notin, =, ==, !=, gt, lt';

class SelectorError extends Error {}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = tokenize(text);
  }

  parse(): Requirement[] {
    const requirements: Requirement[] = [];
    for (;;) {
      const token = this.#peekValue();
      if (token.kind === 'end') return requirements;
      if (token.kind !== 'identifier' && token.kind !== '!') {
        throw new SelectorError(`found '${token.text}', expected: !, identifier, or 'end of string'`);
      }
      try {
        requirements.push(this.#requirement());
      } catch (error) {
        if (!(error instanceof SelectorError)) throw error;
        throw new SelectorError(`unable to parse requirement: ${error.message}`);
      }
      const next = this.#nextValue();
      if (next.kind === 'end') return requirements;
      if (next.kind !== ',') {
        throw new SelectorError(`found '${next.text}', expected: ',' or 'end of string'`);
      }
      const after = this.#peekValue();
      if (after.kind !== 'identifier' && after.kind !== '!') {
        throw new SelectorError(`found '${after.text}', expected: identifier after ','`);
      }
    }
  }

  #requirement(): Requirement {
    let token = this.#nextValue();
    const negated = token.kind === '!';
    if (negated) token = this.#nextValue();
    if (token.kind !== 'identifier') {
      throw new SelectorError(`found '${token.text}', expected: identifier`);
    }
    const key = token.text;
    checkPart('<nil>', key, qualifiedNameErrors(key));
    const next = this.#peekValue();
    if (negated || next.kind === 'end' || next.kind === ',') {
      return { key, operator: negated ? 'absent' : 'exists', values: [] };
    }
    return this.#operation(key);
  }

  #operation(key: string): Requirement {
    const token = this.#next();
    switch (token.kind) {
      case 'in':
      case 'notin': {
        const values = this.#valueList();
        return checked({ key, operator: token.kind, values });
      }
      case '=':
      case '==':
        return checked({ key, operator: 'in', values: [this.#exactValue()] });
      case '!=':
        return checked({ key, operator: 'notin', values: [this.#exactValue()] });
      case '>':
      case '<': {
        const value = this.#exactValue();
        if (!/^[-+]?\d+$/.test(value)) {
          const error = invalidValue(
            'values[0]',
            value,
            "for 'Gt', 'Lt' operators, the value must be an integer",
          );
          throw new SelectorError(`${error.field}: ${error.message}`);
        }
        return { key, operator: token.kind === '>' ? 'gt' : 'lt', values: [value] };
      }
      default:
        throw new SelectorError(`found '${token.text}', expected: ${BINARY_OPERATORS}`);
    }
  }

  #valueList(): string[] {
    const open = this.#nextValue();
    if (open.kind !== '(') throw new SelectorError(`found '${open.text}' expected: '('`);
    const values = new Set<string>();
    if (this.#peekValue().kind === ')') {
      this.#nextValue();
      return [''];
    }
    const first = this.#peekValue();
    if (first.kind !== 'identifier' && first.kind !== ',') {
      throw new SelectorError(`found '${first.text}', expected: ',', ')' or identifier`);
    }
    // An empty place between commas is the empty value.
    let expectValue = true;
    for (;;) {
      const token = this.#nextValue();
      switch (token.kind) {
        case 'identifier': {
          if (!expectValue) throw new SelectorError(`found '${token.text}', expected: ',' or ')'`);
          values.add(token.text);
          expectValue = false;
          break;
        }
        case ',':
          if (expectValue) values.add('');
          expectValue = true;
          break;
        case ')':
          if (expectValue) values.add('');
          return [...values].toSorted();
        default:
          throw new SelectorError(
            `found '${token.text}', expected: ${expectValue ? "',', or identifier" : "',' or ')'"}`,
          );
      }
    }
  }

  #exactValue(): string {
    const { kind } = this.#peekValue();
    if (kind === 'end' || kind === ',') return '';
    const token = this.#nextValue();
    if (token.kind !== 'identifier') {
      throw new SelectorError(`found '${token.text}', expected: identifier`);
    }
    return token.text;
  }

  #next(): Token {
    return this.#tokens[this.#at++] ?? END;
  }

  // Where a value may stand, `in` and `notin` are words like any other.
  #nextValue(): Token {
    return asValue(this.#next());
  }

  #peekValue(): Token {
    return asValue(this.#tokens[this.#at] ?? END);
  }
}

function asValue(token: Token): Token {
  return token.kind === 'in' || token.kind === 'notin' ? { kind: 'identifier', text: token.text } : token;
}

function checkPart(field: string, value: string, messages: readonly string[]): void {
  if (messages.length === 0) return;
  const error = invalidValue(field, value, messages.join('; '));
  throw new SelectorError(`${error.field}: ${error.message}`);
}

function checked(requirement: Requirement): Requirement {
  for (const [i, value] of requirement.values.entries()) {
    checkPart(`values[${i}][${requirement.key}]`, value, labelValueErrors(value));
  }
  return requirement;
}

function satisfies(requirement: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const value = Object.hasOwn(labels, requirement.key) ? labels[requirement.key] : undefined;
  switch (requirement.operator) {
    case 'in':
      return value !== undefined && requirement.values.includes(value);
    case 'notin':
      return value === undefined || !requirement.values.includes(value);
    case 'exists':
      return value !== undefined;
    case 'absent':
      return value === undefined;
    default: {
      if (value === undefined || !/^[-+]?\d+$/.test(value)) return false;
      const bound = BigInt((requirement.values[0] as string).replace(/^\+/, ''));
      const number = BigInt(value.replace(/^\+/, ''));
      return requirement.operator === 'gt' ? number > bound : number < bound;
    }
  }
}

const NO_LABELS: Readonly<Record<string, string>> = {};

/** @throws ApiError 400 */
export function parseLabelSelector(text: string): LabelSelector {
  let requirements: Requirement[];
  try {
    requirements = new Parser(text).parse();
  } catch (error) {
    if (error instanceof SelectorError) throw badRequest(error.message);
    throw error;
  }
  return {
    empty: requirements.length === 0,
    matches: (labels) => requirements.every((r) => satisfies(r, labels ?? NO_LABELS)),
  };
}
