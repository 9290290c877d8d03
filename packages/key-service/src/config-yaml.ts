/** The configuration file's YAML, read so that nothing of it is kept or quoted that is not meant to be. */
import { Lexer, parse, parseDocument, Parser } from 'yaml';

/** A policy in a user in an account is a dozen deep. */
const MAX_DEPTH = 100;

/**
 * @returns the document; undefined when the text is not YAML (yamlFault says why). The parser's own message quotes the line, which may
 *   hold a secret
 */
export function parseConfigYaml(yaml: string): unknown {
  if (isTooDeep(yaml)) return undefined;
  let document: unknown;
  try {
    document = parse(yaml, { maxAliasCount: 100, logLevel: 'error' });
  } catch {
    return undefined;
  }
  // The parser cuts texts out of the file, and the engine then keeps all of it, key material too, for the sake of one name.
  return structuredClone(document) ?? null;
}

/**
 * Why parseConfigYaml does not take a text, for a message: `is not YAML at line 3, column 7 (BAD_INDENT)`. Nothing of the text is in it.
 */
export function yamlFault(yaml: string): string {
  if (isTooDeep(yaml)) return `is nested more than ${MAX_DEPTH} levels deep`;
  const document = parseDocument(yaml, { logLevel: 'error' });
  const [error] = document.errors;
  const [start] = error?.linePos ?? [];
  if (start !== undefined) return `is not YAML at line ${start.line}, column ${start.col} (${error?.code})`;
  if (error !== undefined) return 'is not YAML';
  try {
    // Uncounted, aliases cost nothing: they share what they stand for.
    document.toJS({ maxAliasCount: -1 });
    return 'has too many aliases';
  } catch {
    return 'is not YAML: an alias has no anchor before it';
  }
}

/**
 * Before anything calls itself for every level: where the stack ends inside a regular expression the engine aborts the whole process
 * instead of throwing.
 */
function isTooDeep(yaml: string): boolean {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(yaml)) {
    Array.from(parser.next(lexeme));
    if (parser.stack.length > MAX_DEPTH) return true;
  }
  return false;
}
