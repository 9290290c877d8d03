/**
 * JSON Patch: RFC 6902 over JSON Pointer, RFC 6901.
 *
 * Keys such as `constructor` and `__proto__` are ordinary names in a ConfigMap, so objects are only ever read by their
 * own properties. Limits are kube-apiserver's.
 */
import { isDeepStrictEqual } from 'node:util';
import { isJsonObject, setOwn, type JsonObject, type JsonValue } from '@waxseal/api-types';
import { PatchError } from './errors.js';

/** kube-apiserver's `maxJSONPatchOperations`. */
export const maxOperations = 10_000;
/** kube-apiserver's limit of what `copy` may add: a short patch must not make a huge object. */
const maxCopiedBytes = 3 * 1024 * 1024;

interface Operation {
  readonly op: 'add' | 'remove' | 'replace' | 'move' | 'copy' | 'test';
  readonly path: string;
  readonly from: string;
  readonly value: JsonValue | undefined;
}

interface Document {
  root: JsonValue;
  copiedBytes: number;
}

/**
 * @param target not changed
 * @param patch the parsed body: an array of operations
 * @throws PatchError `malformed`, `not-applicable`, `test-failed` or `too-large`; nothing is applied then
 */
export function applyJsonPatch(target: JsonValue, patch: JsonValue): JsonValue {
  if (!Array.isArray(patch)) throw new PatchError('malformed', 'a JSON patch must be an array of operations');
  if (patch.length > maxOperations) {
    throw new PatchError(
      'too-large',
      `The allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`,
    );
  }
  const operations = patch.map(parseOperation);
  const document: Document = { root: structuredClone(target), copiedBytes: 0 };
  for (const operation of operations) apply(document, operation);
  return document.root;
}

const names: ReadonlySet<string> = new Set(['add', 'remove', 'replace', 'move', 'copy', 'test']);

function isOperationName(name: unknown): name is Operation['op'] {
  return typeof name === 'string' && names.has(name);
}

function parseOperation(value: JsonValue, index: number): Operation {
  const where = `operation ${index} of the JSON patch`;
  if (!isJsonObject(value)) throw new PatchError('malformed', `${where} must be an object`);
  const { op, path, from } = value;
  if (!isOperationName(op)) {
    throw new PatchError('malformed', `${where}: "op" must be add, remove, replace, move, copy or test`);
  }
  if (typeof path !== 'string') throw new PatchError('malformed', `${where}: "path" must be a string`);
  const needsFrom = op === 'move' || op === 'copy';
  if (needsFrom && typeof from !== 'string')
    throw new PatchError('malformed', `${where}: "from" must be a string`);
  const needsValue = op === 'add' || op === 'replace' || op === 'test';
  if (needsValue && !Object.hasOwn(value, 'value'))
    throw new PatchError('malformed', `${where}: "value" is missing`);
  return { op, path, from: typeof from === 'string' ? from : '', value: value.value };
}

function apply(document: Document, operation: Operation): void {
  const { op, path, from, value } = operation;
  switch (op) {
    case 'add':
      add(document, path, structuredClone(value ?? null));
      return;
    case 'remove':
      remove(document, path);
      return;
    case 'replace':
      replace(document, path, structuredClone(value ?? null));
      return;
    case 'move': {
      if (path.startsWith(`${from}/`)) throw missing(path, 'it lies inside what is moved');
      add(document, path, remove(document, from));
      return;
    }
    case 'copy': {
      const source = read(document, from);
      document.copiedBytes += Buffer.byteLength(JSON.stringify(source));
      if (document.copiedBytes > maxCopiedBytes) {
        throw new PatchError('too-large', `the JSON patch copies more than ${maxCopiedBytes} bytes`);
      }
      add(document, path, structuredClone(source));
      return;
    }
    case 'test':
      if (!isDeepStrictEqual(readIfAny(document, path), value ?? null)) {
        throw new PatchError('test-failed', `testing value ${path} failed`);
      }
  }
}

function missing(path: string, why: string): PatchError {
  return new PatchError('not-applicable', `the JSON patch does not apply at ${JSON.stringify(path)}: ${why}`);
}

/** RFC 6901 §4; the first element of the split is the empty string before the first slash. */
function tokens(path: string): string[] {
  if (path === '') return [];
  if (!path.startsWith('/'))
    throw new PatchError('malformed', `${JSON.stringify(path)} is no JSON pointer: it must begin with "/"`);
  return path
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** RFC 6901 §4 array-index; negative ones count from the end, as the reference allows. */
function arrayIndex(token: string, length: number): number | undefined {
  if (!/^-?(0|[1-9]\d*)$/.test(token)) return undefined;
  const index = Number(token);
  return index < 0 ? length + index : index;
}

function child(parent: JsonValue, token: string): JsonValue | undefined {
  if (Array.isArray(parent)) {
    const index = arrayIndex(token, parent.length);
    return index === undefined ? undefined : parent[index];
  }
  return isJsonObject(parent) && Object.hasOwn(parent, token) ? parent[token] : undefined;
}

function readIfAny(document: Document, path: string): JsonValue | undefined {
  let current: JsonValue | undefined = document.root;
  for (const token of tokens(path)) {
    if (current === undefined) return undefined;
    current = child(current, token);
  }
  return current;
}

function read(document: Document, path: string): JsonValue {
  const value = readIfAny(document, path);
  if (value === undefined) throw missing(path, 'there is no such value');
  return value;
}

/** The container an operation works in, and the last token. */
function locate(document: Document, path: string): { parent: JsonValue[] | JsonObject; token: string } {
  const all = tokens(path);
  const token = all.pop() ?? '';
  let parent: JsonValue = document.root;
  for (const step of all) {
    const next = child(parent, step);
    if (next === undefined) throw missing(path, 'its parent does not exist');
    parent = next;
  }
  if (!Array.isArray(parent) && !isJsonObject(parent))
    throw missing(path, 'its parent is neither object nor array');
  return { parent, token };
}

function add(document: Document, path: string, value: JsonValue): void {
  if (path === '') {
    document.root = value;
    return;
  }
  const { parent, token } = locate(document, path);
  if (!Array.isArray(parent)) {
    setOwn(parent, token, value);
    return;
  }
  const index = token === '-' ? parent.length : arrayIndex(token, parent.length);
  if (index === undefined || index < 0 || index > parent.length)
    throw missing(path, 'the index is outside the array');
  parent.splice(index, 0, value);
}

function remove(document: Document, path: string): JsonValue {
  if (path === '') throw missing(path, 'the whole object cannot be removed');
  const { parent, token } = locate(document, path);
  const value = child(parent, token);
  if (value === undefined) throw missing(path, 'there is nothing to remove');
  if (Array.isArray(parent)) parent.splice(arrayIndex(token, parent.length) ?? 0, 1);
  else delete parent[token];
  return value;
}

function replace(document: Document, path: string, value: JsonValue): void {
  if (path === '') {
    document.root = value;
    return;
  }
  const { parent, token } = locate(document, path);
  if (child(parent, token) === undefined) throw missing(path, 'there is nothing to replace');
  if (Array.isArray(parent)) parent[arrayIndex(token, parent.length) ?? 0] = value;
  else setOwn(parent, token, value);
}
