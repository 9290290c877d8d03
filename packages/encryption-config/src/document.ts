/**
 * The text of a configuration file as plain data: YAML, or JSON when it begins with `{`.
 *
 * kube-apiserver reads it with go-yaml v2 through sigs.k8s.io/yaml, so plain scalars resolve as YAML 1.1 does there
 * (`yes` is a boolean, `0o7` is not a number), only the first document counts, and a repeated key is an error. No
 * message quotes the file: a syntax error may stand in the middle of a key.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, Scalar, type Document } from 'yaml';

export type Plain = null | boolean | number | string | readonly Plain[] | { readonly [key: string]: Plain };

export type ParsedDocument =
  | { readonly kind: 'value'; readonly value: Plain; readonly duplicateKeys: readonly string[] }
  | { readonly kind: 'syntax-error'; readonly message: string };

/** A few kilobytes are usual; aliases could make more of them. */
const MAX_DOCUMENT_BYTES = 3 * 1024 * 1024;
const MAX_NODES = 100_000;
const MAX_DEPTH = 100;

export function parseDocument(text: string): ParsedDocument {
  if (Buffer.byteLength(text) > MAX_DOCUMENT_BYTES) {
    return { kind: 'syntax-error', message: `the file is larger than ${MAX_DOCUMENT_BYTES} bytes` };
  }
  if (text.trimStart().startsWith('{') && !isJson(text)) {
    return { kind: 'syntax-error', message: 'the file begins with { but is not valid JSON' };
  }
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
    const walk = new Walk(document, lines);
    const value = walk.plain(document.contents, 0);
    return { kind: 'value', value, duplicateKeys: walk.duplicateKeys };
  } catch (error) {
    const message = error instanceof DocumentProblem ? error.message : 'yaml: the file cannot be parsed';
    return { kind: 'syntax-error', message };
  }
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
  #nodes = 0;

  constructor(document: Document, lines: LineCounter) {
    this.#document = document;
    this.#lines = lines;
  }

  plain(node: unknown, depth: number): Plain {
    if (++this.#nodes > MAX_NODES || depth > MAX_DEPTH) {
      throw new DocumentProblem('yaml: the document is too large or nested too deeply');
    }
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      if (target === undefined) throw new DocumentProblem(`yaml: ${this.#at(node)}unknown anchor`);
      return this.plain(target, depth + 1);
    }
    if (isSeq(node)) return node.items.map((item) => this.plain(item, depth + 1));
    if (isScalar(node)) return resolveScalar(node);
    if (!isMap(node)) return null;
    const merged: Record<string, Plain> = Object.create(null);
    const own: Record<string, Plain> = Object.create(null);
    for (const { key, value } of node.items) {
      if (isScalar(key) && key.type === Scalar.PLAIN && key.source === '<<') {
        this.#merge(merged, this.plain(value, depth + 1));
        continue;
      }
      const name = this.plain(key, depth + 1);
      if (name === null || typeof name === 'object') {
        throw new DocumentProblem(`yaml: ${this.#at(key)}a map key must be a string`);
      }
      if (Object.hasOwn(own, String(name))) {
        this.duplicateKeys.push(
          `yaml: ${this.#at(key)}key ${JSON.stringify(String(name))} already set in map`,
        );
      }
      own[String(name)] = this.plain(value, depth + 1);
    }
    return Object.assign(merged, own);
  }

  /** `<<`: what the map itself and earlier maps have wins. */
  #merge(into: Record<string, Plain>, value: Plain): void {
    for (const source of Array.isArray(value) ? (value as readonly Plain[]) : [value]) {
      if (source === null || typeof source !== 'object' || Array.isArray(source)) {
        throw new DocumentProblem('yaml: map merge requires map or sequence of maps as the value');
      }
      for (const [key, item] of Object.entries(source)) if (!Object.hasOwn(into, key)) into[key] = item;
    }
  }

  #at(node: unknown): string {
    const offset = isScalar(node) || isAlias(node) ? node.range?.[0] : undefined;
    return offset === undefined ? '' : `line ${this.#lines.linePos(offset).line}: `;
  }
}

const NULLS = /^(?:~|null|Null|NULL|)$/;
const TRUES = /^(?:y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON)$/;
const FALSES = /^(?:n|N|no|No|NO|false|False|FALSE|off|Off|OFF)$/;
const DECIMAL = /^[-+]?[0-9][0-9_]*$/;
const BASED = /^[-+]?0(?:x[0-9a-fA-F_]+|b[01_]+|[0-7_]+)$/;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;

function resolveScalar(node: Scalar): Plain {
  const text = node.source ?? (typeof node.value === 'string' ? node.value : '');
  const tag = node.tag;
  if (tag === 'tag:yaml.org,2002:str') return typeof node.value === 'string' ? node.value : text;
  if (node.type !== Scalar.PLAIN) return typeof node.value === 'string' ? node.value : text;
  if (NULLS.test(text)) return null;
  if (TRUES.test(text)) return true;
  if (FALSES.test(text)) return false;
  if (BASED.test(text)) return basedInteger(text.replaceAll('_', ''));
  if (DECIMAL.test(text)) return Number(text.replaceAll('_', ''));
  if (FLOAT.test(text)) return Number(text);
  return text;
}

function basedInteger(text: string): number {
  const sign = text.startsWith('-') ? -1 : 1;
  const digits = text.replace(/^[-+]/, '');
  if (/^0[xb]/.test(digits)) return sign * Number(digits);
  return sign * Number.parseInt(digits, 8);
}
