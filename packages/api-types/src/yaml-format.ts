/**
 * Objects as YAML that Kubernetes reads back the same: whatever its reader, which mixes YAML 1.1 and 1.2, could take for something else
 * than a string is quoted.
 *
 * Source of the rules: sigs.k8s.io/yaml (goyaml.v2, resolve.go).
 */
import { stringify, visit, Document, Scalar } from 'yaml';
import type { JsonObject } from './object.js';

/** Begins as a word does, and is none of the words that stand for booleans, null or numbers. */
const plainWord = /^[A-Za-z/][\w./@+-]*$/;
const reserved = /^(y|n|yes|no|on|off|true|false|null|nan|inf)$/i;

/** One document, ending in a newline, without `---`. */
export function formatYaml(object: JsonObject): string {
  const document = new Document(object, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value !== 'string' || node.value.includes('\n')) return;
      if (!plainWord.test(node.value) || reserved.test(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return stringify(document, { lineWidth: 0 });
}
