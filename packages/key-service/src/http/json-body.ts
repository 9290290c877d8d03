/**
 * Reads a JSON 1.1 request body that anyone may have written.
 *
 * JSON.parse alone is bounded in time but not in depth, replaces bytes that are not UTF-8, and takes anything at the
 * top level. AWS answers SerializationException to all of that, and to no body at all. A text that gives an object two members of
 * one name is refused too: parsers disagree on which one counts, and whoever checks a request elsewhere (a proxy, an audit) must
 * see the one that is carried out (RFC 8259 §4). `__proto__` is a member like any other, because members are only ever read as own
 * properties.
 */
import { isUtf8 } from 'node:buffer';
import { AwsError } from '../aws-error.js';

export type JsonObject = { readonly [member: string]: unknown };

/** No request of the API nests deeper than a grant's constraints: 4. Beyond this a body is hostile. */
const MAX_DEPTH = 32;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** @throws AwsError SerializationException when the body is not one JSON object, or says something twice */
export function parseJsonBody(body: Buffer): JsonObject {
  const value = isUtf8(body) ? parseUniqueJson(body, MAX_DEPTH) : undefined;
  // The parser's own message quotes the body, which may hold a plaintext.
  if (value === undefined) throw new AwsError('SerializationException');
  if (Array.isArray(value)) {
    throw new AwsError('SerializationException', 'Start of list found where not expected');
  }
  if (!isJsonObject(value)) throw new AwsError('SerializationException');
  return value;
}

/** Undefined when the text is not JSON, nests deeper than `maxDepth`, or gives an object two members of one name. */
export function parseUniqueJson(json: Buffer, maxDepth: number): unknown {
  const { depth, members } = measure(json);
  if (depth > maxDepth) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(json.toString('utf8'));
  } catch {
    return undefined;
  }
  // Of two members of one name JSON.parse keeps the last, so that fewer are left than were written.
  return countMembers(value) === members ? value : undefined;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** How deep the brackets of a text nest, outside strings. */
export function depth(json: Buffer): number {
  return measure(json).depth;
}

/** Brackets and colons outside strings: in JSON, every colon is a member. */
function measure(json: Buffer): { readonly depth: number; readonly members: number } {
  let deepest = 0;
  let level = 0;
  let members = 0;
  for (let i = 0; i < json.length; i++) {
    switch (json[i] as number) {
      case QUOTE:
        i = endOfString(json, i);
        break;
      case 0x3a: // :
        members++;
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++level > deepest) deepest = level;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        level--;
        break;
    }
  }
  return { depth: deepest, members };
}

/** Members of all objects in a value that came from JSON and nests no deeper than the stack allows. */
function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + countMembers(item), 0);
  let members = 0;
  for (const name in value) members += 1 + countMembers((value as JsonObject)[name]);
  return members;
}

function endOfString(json: Buffer, start: number): number {
  for (let i = json.indexOf(QUOTE, start + 1); i >= 0; i = json.indexOf(QUOTE, i + 1)) {
    let backslashes = 0;
    while (json[i - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return i;
  }
  return json.length;
}
