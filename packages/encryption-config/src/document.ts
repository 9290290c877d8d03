/**
 * The text of a configuration file as plain data: YAML, or JSON when it begins with `{`.
 *
 * kube-apiserver reads it with go-yaml v2 through sigs.k8s.io/yaml, so plain scalars resolve as YAML 1.1 does there
 * (`yes` is a boolean, a date is a string), only the first document counts, and a repeated key is an error. No
 * message quotes the file: a syntax error may stand in the middle of a key.
 */
import {
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  parseAllDocuments,
  Parser,
  Scalar,
  type Document,
} from 'yaml';

export type Plain = null | boolean | number | string | readonly Plain[] | { readonly [key: string]: Plain };

export type ParsedDocument =
  | { readonly kind: 'value'; readonly value: Plain; readonly duplicateKeys: readonly string[] }
  | { readonly kind: 'syntax-error'; readonly message: string };

/** A few kilobytes are usual; aliases could make more of them. */
const MAX_DOCUMENT_BYTES = 3 * 1024 * 1024;
const MAX_NODES = 100_000;
const MAX_DEPTH = 100;
const TOO_LARGE = 'yaml: the document is too large or nested too deeply';
const TOO_MANY_ALIASES = `yaml: too many aliases: what they stand for is more than ${MAX_NODES} nodes`;

export function parseDocument(text: string): ParsedDocument {
  if (Buffer.byteLength(text) > MAX_DOCUMENT_BYTES) {
    return { kind: 'syntax-error', message: `the file is larger than ${MAX_DOCUMENT_BYTES} bytes` };
  }
  const json = isJson(text);
  if (text.trimStart().startsWith('{') && !json) {
    return { kind: 'syntax-error', message: 'the file begins with { but is not valid JSON' };
  }
  if (isTooDeep(text)) return { kind: 'syntax-error', message: TOO_LARGE };
  const lines = new LineCounter();
  try {
    const documents = parseAllDocuments(text, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      logLevel: 'silent',
    });
    const document = Array.isArray(documents) ? documents[0] : undefined;
    if (document === undefined) return { kind: 'value', value: null, duplicateKeys: [] };
    const [error] = document.errors;
    if (error !== undefined) {
      const { line, col } = lines.linePos(error.pos[0]);
      return { kind: 'syntax-error', message: `yaml: line ${line}, column ${col}: ${error.code}` };
    }
    const { explicit, version } = document.directives.yaml;
    if (explicit === true && version !== '1.1') {
      return { kind: 'syntax-error', message: `yaml: the file asks for YAML ${version}, only 1.1 is read` };
    }
    const walk = new Walk(document, lines, json);
    const value = walk.plain(document.contents, 0);
    return { kind: 'value', value, duplicateKeys: walk.duplicateKeys };
  } catch (error) {
    const message = error instanceof DocumentProblem ? error.message : 'yaml: the file cannot be parsed';
    return { kind: 'syntax-error', message };
  }
}

/**
 * Before anything calls itself for every level: where the stack ends inside a regular expression the engine aborts the whole process
 * instead of throwing.
 */
function isTooDeep(text: string): boolean {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(text)) {
    Array.from(parser.next(lexeme));
    // Beside collections: the document, and the scalar that is being read.
    if (parser.stack.length > MAX_DEPTH + 2) return true;
  }
  return false;
}

/** JSON is YAML too; what is left for this check is what YAML would forgive. */
function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

class DocumentProblem extends Error {}

class Walk {
  readonly duplicateKeys: string[] = [];
  readonly #document: Document;
  readonly #lines: LineCounter;
  readonly #json: boolean;
  #nodes = 0;
  #aliasDepth = 0;

  constructor(document: Document, lines: LineCounter, json: boolean) {
    this.#json = json;
    this.#document = document;
    this.#lines = lines;
  }

  plain(node: unknown, depth: number): Plain {
    if (++this.#nodes > MAX_NODES || depth > MAX_DEPTH) {
      throw new DocumentProblem(this.#aliasDepth > 0 && depth <= MAX_DEPTH ? TOO_MANY_ALIASES : TOO_LARGE);
    }
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      if (target === undefined) throw new DocumentProblem(`yaml: ${this.#at(node)}unknown anchor`);
      this.#aliasDepth++;
      const value = this.plain(target, depth + 1);
      this.#aliasDepth--;
      return value;
    }
    if (isSeq(node)) return node.items.map((item) => this.plain(item, depth + 1));
    if (isScalar(node)) {
      // To Go's JSON decoder 1e2 is no integer; to its YAML decoder it is.
      return this.#json && /[.eE]/.test(node.source ?? '') && typeof node.value === 'number'
        ? Number.NaN
        : resolveScalar(node);
    }
    if (!isMap(node)) return null;
    const map: Record<string, Plain> = Object.create(null);
    const set = (name: string, value: Plain): void => {
      // Strict decoding counts what `<<` brings in as set, too.
      if (Object.hasOwn(map, name)) {
        this.duplicateKeys.push(`yaml: ${this.#at(node)}key ${JSON.stringify(name)} already set in map`);
      }
      map[name] = value;
    };
    for (const { key, value } of node.items) {
      if (isScalar(key) && key.type === Scalar.PLAIN && key.source === '<<') {
        for (const [name, item] of this.#mergedFields(this.plain(value, depth + 1))) set(name, item);
        continue;
      }
      const name = this.plain(key, depth + 1);
      if (name === null || typeof name === 'object') {
        throw new DocumentProblem(`yaml: ${this.#at(key)}a map key must be a string`);
      }
      set(String(name), this.plain(value, depth + 1));
    }
    return map;
  }

  #mergedFields(value: Plain): readonly (readonly [string, Plain])[] {
    const sources = Array.isArray(value) ? (value as readonly Plain[]) : [value];
    return sources.flatMap((source) => {
      if (source === null || typeof source !== 'object' || Array.isArray(source)) {
        throw new DocumentProblem('yaml: map merge requires map or sequence of maps as the value');
      }
      return Object.entries(source);
    });
  }

  #at(node: unknown): string {
    const offset = isNode(node) ? node.range?.[0] : undefined;
    return offset === undefined ? '' : `line ${this.#lines.linePos(offset).line}: `;
  }
}

const NULLS = /^(?:~|null|Null|NULL|)$/;
const TRUES = /^(?:y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON)$/;
const FALSES = /^(?:n|N|no|No|NO|false|False|FALSE|off|Off|OFF)$/;
const INTEGER = /^[-+]?(?:0x[0-9a-fA-F]+|0b[01]+|0o[0-7]+|[0-9]+)$/;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
const INFINITE = /^[-+]?\.(?:inf|Inf|INF)$/;
const NOT_A_NUMBER = /^\.(?:nan|NaN|NAN)$/;

const TAG = 'tag:yaml.org,2002:';

function resolveScalar(node: Scalar): Plain {
  const text =
    typeof node.value === 'string' && node.type !== Scalar.PLAIN ? node.value : (node.source ?? '');
  switch (node.tag) {
    case `${TAG}str`:
      return text;
    case `${TAG}binary`:
      return Buffer.from(text, 'base64').toString('latin1');
    case `${TAG}int`:
    case `${TAG}float`:
    case `${TAG}bool`:
    case `${TAG}null`:
      return resolvePlain(text);
    default:
      return node.type === Scalar.PLAIN ? resolvePlain(text) : text;
  }
}

function resolvePlain(text: string): Plain {
  if (NULLS.test(text)) return null;
  if (TRUES.test(text)) return true;
  if (FALSES.test(text)) return false;
  if (INFINITE.test(text)) return Number.POSITIVE_INFINITY;
  if (NOT_A_NUMBER.test(text)) return Number.NaN;
  const digits = /^[-+.0-9]/.test(text) ? text.replaceAll('_', '') : text;
  if (INTEGER.test(digits)) return integer(digits);
  return FLOAT.test(digits) ? Number(digits) : text;
}

function integer(digits: string): number {
  const sign = digits.startsWith('-') ? -1 : 1;
  const unsigned = digits.replace(/^[-+]/, '');
  return sign * (/^0[0-7]+$/.test(unsigned) ? Number.parseInt(unsigned, 8) : Number(unsigned));
}
