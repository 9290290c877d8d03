/**
 * YAML bodies, read as Kubernetes reads them: YAML 1.1 scalars (`yes` is true, `0755` is octal), times and base-60
 * numbers stay strings, only the first document counts, and keys become strings.
 *
 * Source of the rules: sigs.k8s.io/yaml, which turns YAML into JSON before anything else looks at it.
 */
import {
  Composer,
  type CST,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  type Alias,
  type Document,
  type Node,
  type ScalarTag,
  type Tags,
} from 'yaml';
import type { JsonObject, JsonValue } from './object.js';
import { setOwn } from './complete.js';
import { DecodeError } from './errors.js';
import type { ParsedBody, ParseOptions } from './json.js';

/** Aliases may stand for this many nodes in all: `&a [*b, *b…]` doubles at every line otherwise. */
const maxAliasNodes = 10_000;
const maxDepth = 200;
/** What the parser keeps on its stack besides collections: the document, and the scalar it reads. */
const notLevels = 2;
/** A parsed node costs microseconds: a body of commas alone would hold the server up for many seconds. */
const maxTokens = 400_000;

/** As `parseJson`; a faulty document's text is never quoted. @throws DecodeError `malformed-yaml` or `too-deep` */
export function parseYaml(bytes: Buffer, options: ParseOptions = {}): ParsedBody {
  const lines = new LineCounter();
  const document = parse(bytes, lines);
  const fault = document?.errors[0];
  if (fault !== undefined) {
    const at = lines.linePos(fault.pos[0]);
    const what = fault.code.toLowerCase().replaceAll('_', ' ');
    throw new DecodeError('malformed-yaml', `invalid YAML at line ${at.line}, column ${at.col}: ${what}`);
  }
  const reader = new YamlReader(lines, options.findDuplicates === true);
  return { value: reader.read(document?.contents, ''), duplicates: [...reader.duplicates] };
}

function parse(bytes: Buffer, lines: LineCounter): Document.Parsed | undefined {
  const text = bytes.toString('utf8');
  const composer = new Composer({
    version: '1.1',
    customTags: asGoReads,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'silent',
  });
  try {
    const [document] = composer.compose(tokensOf(text, lines), true, text.length);
    return document;
  } catch (cause) {
    if (cause instanceof DecodeError) throw cause;
    throw new DecodeError('malformed-yaml', 'invalid YAML');
  }
}

/**
 * Bounded before anything is built: the composer calls itself for every level, and where the stack ends inside one of its regular
 * expressions the engine aborts the whole process instead of throwing.
 */
function* tokensOf(text: string, lines: LineCounter): Generator<CST.Token, void> {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(text)) {
    if (++lexemes > maxTokens) {
      throw new DecodeError(
        'malformed-yaml',
        `invalid YAML: more than ${maxTokens} tokens; send so large a body as JSON`,
      );
    }
    yield* parser.next(lexeme);
    if (parser.stack.length > maxDepth + notLevels) {
      throw new DecodeError('too-deep', `invalid YAML: more than ${maxDepth} levels`);
    }
  }
  yield* parser.end();
}

/** Go's reader gives dates as strings, has no base-60 numbers, and no numbers without a digit before the exponent (`E0`, `.`). */
function asGoReads(tags: Tags): Tags {
  return tags.flatMap((tag): Tags => {
    if (typeof tag === 'string') return [tag];
    const { format, test } = tag as ScalarTag;
    if (format === 'TIME' || tag.tag.endsWith(':timestamp')) return [];
    if (test === undefined || !tag.tag.endsWith(':float') || !(test.test('E0') || test.test('.')))
      return [tag];
    return [{ ...tag, test: new RegExp(`(?=^[^eE]*[0-9])${test.source}`) } as ScalarTag];
  });
}

class YamlReader {
  readonly duplicates = new Set<string>();
  readonly #anchors = new Map<string, Node>();
  readonly #lines: LineCounter;
  readonly #wantDuplicates: boolean;
  #aliasDepth = 0;
  #aliasNodes = 0;
  #depth = 0;

  constructor(lines: LineCounter, wantDuplicates: boolean) {
    this.#lines = lines;
    this.#wantDuplicates = wantDuplicates;
  }

  read(node: unknown, path: string): JsonValue {
    if (this.#aliasDepth > 0 && ++this.#aliasNodes > maxAliasNodes) {
      throw this.#fault(node, 'malformed-yaml', `aliases stand for more than ${maxAliasNodes} nodes`);
    }
    if (++this.#depth > maxDepth) throw this.#fault(node, 'too-deep', `more than ${maxDepth} levels`);
    const value = this.#readNode(node, path);
    this.#depth--;
    return value;
  }

  #readNode(node: unknown, path: string): JsonValue {
    if (isAlias(node)) {
      const target = this.#target(node);
      this.#aliasDepth++;
      const value = this.read(target, path);
      this.#aliasDepth--;
      return value;
    }
    if (isNode(node) && node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isMap(node)) return this.#readMap(node.items, path);
    if (isSeq(node)) return node.items.map((item, index) => this.read(item, `${path}[${index}]`));
    if (isScalar(node)) return this.#readScalar(node, node.value);
    if (node === null || node === undefined) return null;
    throw this.#fault(node, 'malformed-yaml', 'a node that JSON cannot express');
  }

  /** The last node of that anchor read so far: the library would search the whole document for every alias. */
  #target(alias: Alias): Node {
    const target = this.#anchors.get(alias.source);
    if (target === undefined) throw this.#fault(alias, 'malformed-yaml', 'unresolved alias');
    return target;
  }

  #readMap(items: readonly unknown[], path: string): JsonObject {
    const merged: JsonObject = {};
    const own: JsonObject = {};
    for (const pair of items) {
      if (!isPair(pair)) continue;
      const key = this.#readKey(pair.key);
      const keyPath = path === '' ? key : `${path}.${key}`;
      if (isMergeKey(pair.key)) {
        this.#merge(merged, pair.value, path);
        continue;
      }
      if (this.#wantDuplicates && Object.hasOwn(own, key)) this.duplicates.add(keyPath);
      setOwn(own, key, this.read(pair.value, keyPath));
    }
    if (Object.keys(merged).length === 0) return own;
    for (const [key, value] of Object.entries(own)) setOwn(merged, key, value);
    return merged;
  }

  /** `<<`: one map or a list of maps; the first that has a key wins. */
  #merge(target: JsonObject, node: unknown, path: string): void {
    const value = this.read(node, path);
    for (const source of Array.isArray(value) ? value : [value]) {
      if (typeof source !== 'object' || source === null || Array.isArray(source)) {
        throw this.#fault(node, 'malformed-yaml', 'only maps can be merged');
      }
      for (const [key, item] of Object.entries(source)) {
        if (!Object.hasOwn(target, key)) setOwn(target, key, item);
      }
    }
  }

  #readKey(node: unknown): string {
    const resolved = isAlias(node) ? this.#target(node) : node;
    if (isScalar(resolved) && resolved.anchor !== undefined) this.#anchors.set(resolved.anchor, resolved);
    if (isScalar(resolved)) {
      const { value } = resolved;
      if (typeof value === 'string') return value;
      if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
        return String(value);
      // `<<` is a symbol in the parsed tree.
      if (typeof value === 'symbol') return '<<';
    }
    throw this.#fault(node, 'malformed-yaml', 'a map key must be a string, number or boolean');
  }

  #readScalar(node: unknown, value: unknown): JsonValue {
    if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
    if (typeof value === 'bigint') return Number(value);
    if (typeof value === 'symbol') return '<<';
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw this.#fault(node, 'malformed-yaml', 'a value that JSON cannot express');
  }

  #fault(node: unknown, problem: 'malformed-yaml' | 'too-deep', what: string): DecodeError {
    const range: unknown =
      typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined;
    const offset: unknown = Array.isArray(range) ? range[0] : undefined;
    const at = typeof offset === 'number' ? this.#lines.linePos(offset) : undefined;
    const where = at === undefined ? '' : ` at line ${at.line}, column ${at.col}`;
    return new DecodeError(problem, `invalid YAML${where}: ${what}`);
  }
}

function isMergeKey(node: unknown): boolean {
  return isScalar(node) && (typeof node.value === 'symbol' || (node.value === '<<' && node.type === 'PLAIN'));
}
