/**
 * Field selectors: `metadata.name=x,type!=Opaque`.
 *
 * Source of the rule: k8s.io/apimachinery `fields` (grammar, escapes) and `runtime` (which keys exist).
 */
import type { KubeObject } from '@waxseal/api-types';
import type { Strategy } from '../registry/strategy.js';
import { badRequest } from './status-errors.js';

interface Term {
  readonly field: string;
  readonly equal: boolean;
  readonly value: string;
}

export interface FieldSelector {
  readonly empty: boolean;
  /** The one name, or namespace, that can match. */
  readonly name: string | undefined;
  readonly namespace: string | undefined;
  /** True when name and namespace decide alone, so that no object need be decoded. */
  readonly byKey: boolean;
  matchesKey(namespace: string, name: string): boolean;
  matches(object: KubeObject): boolean;
}

/** Splits at commas that no backslash escapes. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === ',') {
      terms.push(text.slice(start, i));
      start = i + 1;
    }
  }
  terms.push(text.slice(start));
  return terms.filter((term) => term !== '');
}

function unescape(value: string): string {
  let result = '';
  for (let i = 0; i < value.length; i++) {
    const c = value[i] as string;
    if (c === '\\') {
      const next = value[++i] ?? '';
      if (next === '' || !'\\,='.includes(next)) {
        throw badRequest(`invalid field selector: invalid escape sequence: \\${next}`);
      }
      result += next;
    } else if (c === ',' || c === '=') {
      throw badRequest(`invalid field selector: unescaped character in value: ${c.charCodeAt(0)}`);
    } else result += c;
  }
  return result;
}

function parseTerm(selector: string, text: string): Term {
  const match = /!=|==|=/.exec(text);
  if (match === null) {
    throw badRequest(`invalid selector: '${selector}'; can't understand '${text}'`);
  }
  return {
    field: text.slice(0, match.index),
    equal: match[0] !== '!=',
    value: unescape(text.slice(match.index + match[0].length)),
  };
}

function unsupported(field: string, strategy: Strategy): Error {
  // Kinds that add fields of their own word it shorter.
  return Object.keys(strategy.selectableFields).length > 0
    ? badRequest(`field label not supported: ${field}`)
    : badRequest(
        `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`,
      );
}

/** @throws ApiError 400 */
export function parseFieldSelector(text: string, strategy: Strategy): FieldSelector {
  const terms = text === '' ? [] : splitTerms(text).map((term) => parseTerm(text, term));
  const keyTerms: Term[] = [];
  const objectTerms: (Term & { readonly read: (object: KubeObject) => string })[] = [];
  for (const term of terms) {
    const { field } = term;
    if (field === 'metadata.name' || field === 'metadata.namespace') keyTerms.push(term);
    else if (Object.hasOwn(strategy.selectableFields, field)) {
      const read = strategy.selectableFields[field] as (object: KubeObject) => string;
      objectTerms.push({ ...term, read });
    } else throw unsupported(field, strategy);
  }
  const only = (field: string): string | undefined =>
    keyTerms.find((term) => term.field === field && term.equal)?.value;
  const matchesKey = (namespace: string, name: string): boolean =>
    keyTerms.every(
      (term) => ((term.field === 'metadata.name' ? name : namespace) === term.value) === term.equal,
    );
  return {
    empty: terms.length === 0,
    name: only('metadata.name'),
    namespace: only('metadata.namespace'),
    byKey: objectTerms.length === 0,
    matchesKey,
    matches: (object) =>
      matchesKey(object.metadata.namespace ?? '', object.metadata.name ?? '') &&
      objectTerms.every((term) => (term.read(object) === term.value) === term.equal),
  };
}
