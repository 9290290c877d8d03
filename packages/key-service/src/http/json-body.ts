/**
 * Reads a JSON 1.1 request body that anyone may have written.
 *
 * JSON.parse alone is bounded in time but not in depth, replaces bytes that are not UTF-8, and takes anything at the
 * top level. AWS answers SerializationException to all of that. Of two members with one name the last counts, as it
 * does for AWS; `__proto__` is a member like any other, because members are only ever read as own properties.
 */
import { isUtf8 } from 'node:buffer';
import { AwsError } from '../aws-error.js';

export type JsonObject = { readonly [member: string]: unknown };

/** No request of the API nests deeper than a grant's constraints: 4. Beyond this a body is hostile. */
const MAX_DEPTH = 32;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** @throws AwsError SerializationException when the body is not one JSON object */
export function parseJsonBody(body: Buffer): JsonObject {
  // AWS takes an empty body as the empty structure.
  if (body.length === 0) return {};
  if (!isUtf8(body) || depth(body) > MAX_DEPTH) throw new AwsError('SerializationException');
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    // The parser's own message quotes the body, which may hold a plaintext.
    throw new AwsError('SerializationException');
  }
  if (!isJsonObject(value)) throw new AwsError('SerializationException', 'Unexpected field type');
  return value;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** How deep the brackets of a text nest, outside strings. */
export function depth(json: Buffer): number {
  let deepest = 0;
  let level = 0;
  for (let i = 0; i < json.length; i++) {
    switch (json[i] as number) {
      case QUOTE:
        i = endOfString(json, i);
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
  return deepest;
}

function endOfString(json: Buffer, start: number): number {
  for (let i = json.indexOf(QUOTE, start + 1); i >= 0; i = json.indexOf(QUOTE, i + 1)) {
    let backslashes = 0;
    while (json[i - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return i;
  }
  return json.length;
}
