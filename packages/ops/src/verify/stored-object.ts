/**
 * What object opened bytes hold: JSON, or Kubernetes protobuf (`k8s\0` ‖ runtime.Unknown), read just far enough to compare it with
 * its storage key. Every kind has its ObjectMeta as field 1 (k8s.io/api generated.proto), so kinds this project does not know are read too.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { ObjectPath } from '../object-path.js';
import type { Finding } from './causes.js';

export interface ObjectIdentity {
  readonly kind: string;
  /** Empty when there is none. */
  readonly namespace: string;
  readonly name: string;
}

const PROTOBUF_MAGIC = Buffer.from('k8s\0');
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Total: undefined for whatever is not an object. */
export function readObjectIdentity(data: Buffer): ObjectIdentity | undefined {
  try {
    return data.subarray(0, PROTOBUF_MAGIC.length).equals(PROTOBUF_MAGIC)
      ? fromProtobuf(data.subarray(PROTOBUF_MAGIC.length))
      : fromJson(data);
  } catch {
    return undefined;
  }
}

/** Kinds of kube-apiserver's own records (`ranges`, `masterleases`), which have no name of their own. */
const NAMELESS_KINDS: ReadonlySet<string> = new Set(['RangeAllocation', 'Endpoints']);

/** Undefined when the object is one, and the one its key names. */
export function objectFinding(data: Buffer, path: ObjectPath): Finding | undefined {
  const identity = readObjectIdentity(data);
  if (identity === undefined) {
    if (isCutObject(data)) return { cause: 'truncated', message: 'it opens, but the object in it is cut' };
    return {
      cause: 'malformed',
      message: 'it opens, but holds no Kubernetes object (neither protobuf nor JSON)',
    };
  }
  if (path.kind !== undefined && identity.kind !== path.kind) {
    return {
      cause: 'malformed',
      message: `it opens, but its kind is ${quoted(identity.kind)}, and ${path.resource} hold ${path.kind}`,
    };
  }
  if (identity.name === '') {
    if (path.kind === undefined || NAMELESS_KINDS.has(path.kind)) return undefined;
    return { cause: 'malformed', message: 'it opens, but the object in it has no name' };
  }
  if (identity.name === path.name && identity.namespace === path.namespace) return undefined;
  return {
    cause: 'moved',
    message: `the object in it is ${quoted(placeOf(identity))}, its key says ${quoted(placeOf(path))}`,
  };
}

/** Whether it begins as an object and stops before that ends. A flipped bit in a length or bracket may look the same. */
export function isCutObject(data: Buffer): boolean {
  return data.subarray(0, PROTOBUF_MAGIC.length).equals(PROTOBUF_MAGIC)
    ? isCutProtobuf(data.subarray(PROTOBUF_MAGIC.length))
    : isCutJson(data);
}

/** By the length of the object in runtime.Unknown: what else may stand behind is not asked. */
function isCutProtobuf(unknownMessage: Buffer): boolean {
  const reader = new BinaryReader(unknownMessage);
  try {
    while (reader.pos < reader.len) {
      const [number, wireType] = reader.tag();
      if (number === 2 && wireType === WireType.LengthDelimited)
        return reader.uint32() > reader.len - reader.pos;
      reader.skip(wireType, number);
    }
  } catch {
    return reader.pos >= reader.len;
  }
  return true;
}

/** A whole object ends with its brace; where a quote was changed, it still does. */
function isCutJson(data: Buffer): boolean {
  if (data[0] !== 0x7b) return false;
  let depth = 0;
  let inString = false;
  let last = 0;
  for (let i = 0; i < data.length; i++) {
    const byte = data[i] ?? 0;
    if (inString && byte === 0x5c) i++;
    else if (byte === 0x22) inString = !inString;
    else if (!inString && (byte === 0x7b || byte === 0x5b)) depth++;
    else if (!inString && (byte === 0x7d || byte === 0x5d)) depth--;
    // Noise, as a changed block of CBC opens to.
    if (byte < 0x20 && byte !== 0x0a) return false;
    if (byte > 0x20) last = byte;
  }
  return inString ? last !== 0x7d : depth > 0;
}

const placeOf = ({ namespace, name }: { readonly namespace: string; readonly name: string }): string =>
  namespace === '' ? name : `${namespace}/${name}`;

/** Names are public, but what stands in their place in a changed value may be anything. */
function quoted(text: string): string {
  return /^[\w.:/-]{1,320}$/.test(text) ? text : '(unprintable)';
}

function fromJson(data: Buffer): ObjectIdentity | undefined {
  const value = record(JSON.parse(utf8.decode(data)));
  const { kind } = value;
  if (typeof kind !== 'string' || typeof value['apiVersion'] !== 'string') return undefined;
  const metadata = record(value['metadata'] ?? {});
  return { kind, namespace: text(metadata['namespace']), name: text(metadata['name']) };
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('not an object');
  return value as Readonly<Record<string, unknown>>;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

function fromProtobuf(unknownMessage: Buffer): ObjectIdentity | undefined {
  const { 1: typeMeta, 2: raw } = bytesFields(unknownMessage);
  if (typeMeta === undefined) return undefined;
  const kind = utf8.decode(bytesFields(typeMeta)[2] ?? Buffer.alloc(0));
  if (kind === '') return undefined;
  const metadata = bytesFields(bytesFields(raw ?? Buffer.alloc(0))[1] ?? Buffer.alloc(0));
  return {
    kind,
    name: utf8.decode(metadata[1] ?? Buffer.alloc(0)),
    namespace: utf8.decode(metadata[3] ?? Buffer.alloc(0)),
  };
}

/** The length-delimited fields 1 to 3 of a message; walks all of it, so that a cut one is noticed. */
function bytesFields(message: Buffer): Readonly<Record<1 | 2 | 3, Buffer | undefined>> {
  const fields: Record<1 | 2 | 3, Buffer | undefined> = { 1: undefined, 2: undefined, 3: undefined };
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if ((number === 1 || number === 2 || number === 3) && wireType === WireType.LengthDelimited) {
      const bytes = reader.bytes();
      fields[number] = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    } else reader.skip(wireType, number);
  }
  if (reader.pos > reader.len) throw new RangeError('premature EOF');
  return fields;
}
