/** The configuration file's YAML, read so that nothing of it is kept or quoted that is not meant to be. */
import { parse, parseDocument } from 'yaml';

/**
 * @returns the document; undefined when the text is not YAML. The parser's own message quotes the line, which may hold a secret
 */
export function parseConfigYaml(yaml: string): unknown {
  let document: unknown;
  try {
    document = parse(yaml, { maxAliasCount: 100, logLevel: 'error' });
  } catch {
    return undefined;
  }
  // The parser cuts texts out of the file, and the engine then keeps all of it, key material too, for the sake of one name.
  return structuredClone(document) ?? null;
}

/** Where a text stops being YAML, for a message: ` at line 3, column 7 (BAD_INDENT)`. Nothing of the text is in it. */
export function placeOfYamlError(yaml: string): string {
  const [error] = parseDocument(yaml, { logLevel: 'error' }).errors;
  const [start] = error?.linePos ?? [];
  return error === undefined || start === undefined
    ? ''
    : ` at line ${start.line}, column ${start.col} (${error.code})`;
}
