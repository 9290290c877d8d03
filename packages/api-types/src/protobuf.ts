/**
 * Kubernetes protobuf: `k8s\0` and a `runtime.Unknown` that names the kind and holds the object.
 *
 * kubectl since 1.32 sends it, and kube-apiserver stores it. Every byte is in docs/formats/kubernetes-protobuf.md.
 */
import type { JsonObject, JsonValue, KubeObject } from './object.js';
import { completeInto, isJsonObject } from './complete.js';
import { DecodeError } from './errors.js';
import { decodeFields, type DecodeLoss } from './protobuf-decode.js';
import { encodeFields } from './protobuf-encode.js';
import { findType, splitApiVersion, type ObjectType } from './types.js';
import { WireReader, WireWriter, wireBytes } from './wire.js';

const magic = Buffer.from('k8s\0', 'latin1');

export function isKubeProtobuf(bytes: Buffer): boolean {
  return bytes.length >= 4 && bytes.readUInt32BE(0) === 0x6b38_7300;
}

/**
 * The object, exactly as a Go server would print it as JSON. Kinds without metadata (DeleteOptions, the reviews'
 * helpers) have none.
 *
 * @param onLoss called for whatever the bytes hold and the object does not
 * @throws DecodeError `malformed-protobuf`, `unknown-kind` or `too-deep`
 */
export function decodeKubeProtobuf(bytes: Buffer, onLoss?: (loss: DecodeLoss) => void): KubeObject {
  return decodeObject(bytes, 0, onLoss);
}

function decodeObject(
  bytes: Buffer,
  depth: number,
  onLoss: ((loss: DecodeLoss) => void) | undefined,
): KubeObject {
  if (!isKubeProtobuf(bytes)) {
    throw new DecodeError(
      'malformed-protobuf',
      'the body is no Kubernetes protobuf: it must begin with "k8s" and a zero byte',
    );
  }
  const envelope = readUnknown(bytes.subarray(magic.length));
  const type = typeOf(envelope.apiVersion, envelope.kind);
  const fields: JsonObject = {};
  const readEmbedded = (embedded: Buffer, at: number): JsonValue =>
    isKubeProtobuf(embedded)
      ? (decodeObject(embedded, at, onLoss) as unknown as JsonObject)
      : readEmbeddedJson(embedded);
  decodeFields({ reader: new WireReader(envelope.raw), depth, onLoss, readEmbedded }, type, fields);
  const object = { kind: envelope.kind, apiVersion: envelope.apiVersion };
  completeInto(object, type, fields);
  return asKubeObject(object);
}

function asKubeObject(object: { kind: string; apiVersion: string } & JsonObject): KubeObject {
  return object as unknown as KubeObject;
}

interface UnknownEnvelope {
  apiVersion: string;
  kind: string;
  raw: Buffer;
}

/** `runtime.Unknown`: 1 typeMeta {1 apiVersion, 2 kind}, 2 raw, 3 contentEncoding, 4 contentType. */
function readUnknown(bytes: Buffer): UnknownEnvelope {
  const reader = new WireReader(bytes);
  const envelope: UnknownEnvelope = { apiVersion: '', kind: '', raw: bytes.subarray(0, 0) };
  while (reader.position < reader.end) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | wireBytes)) {
      const outerEnd = reader.enter();
      readTypeMeta(reader, envelope);
      reader.leave(outerEnd);
    } else if (tag === ((2 << 3) | wireBytes)) envelope.raw = reader.slice();
    else reader.skip(tag & 7);
  }
  return envelope;
}

function readTypeMeta(reader: WireReader, envelope: UnknownEnvelope): void {
  while (reader.position < reader.end) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | wireBytes)) envelope.apiVersion = reader.string();
    else if (tag === ((2 << 3) | wireBytes)) envelope.kind = reader.string();
    else reader.skip(tag & 7);
  }
}

function typeOf(apiVersion: string, kind: string): ObjectType {
  if (kind === '') throw new DecodeError('unknown-kind', "Object 'Kind' is missing in the protobuf body");
  if (apiVersion === '')
    throw new DecodeError('unknown-kind', "Object 'apiVersion' is missing in the protobuf body");
  const { group, version } = splitApiVersion(apiVersion);
  const type = findType(group, version, kind);
  if (type === undefined) {
    throw new DecodeError(
      'unknown-kind',
      `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)} in protobuf; send the object as JSON`,
    );
  }
  return type;
}

function readEmbeddedJson(bytes: Buffer): JsonValue {
  try {
    const value: JsonValue = JSON.parse(bytes.toString('utf8'));
    return value;
  } catch (cause) {
    throw new DecodeError(
      'malformed-protobuf',
      'an object embedded in the protobuf is neither JSON nor Kubernetes protobuf',
      {
        cause: cause instanceof SyntaxError ? undefined : cause,
      },
    );
  }
}

/**
 * The bytes a Go client sends and a Go server stores for the object: fields in ascending order, zero values of plain
 * fields included, map keys sorted. Unknown JSON fields are left out.
 *
 * @throws DecodeError `unknown-kind`, or `wrong-type` where a value is not of its field's type
 */
export function encodeKubeProtobuf(object: KubeObject): Buffer {
  const type = typeOf(object.apiVersion, object.kind);
  const writer = new WireWriter();
  const empty = (number: number): void => writer.close(number, writer.mark);
  empty(4);
  empty(3);
  const rawMark = writer.mark;
  encodeFields(writer, type, jsonFields(object));
  writer.close(2, rawMark);
  const metaMark = writer.mark;
  const kindMark = writer.mark;
  writer.string(object.kind);
  writer.close(2, kindMark);
  const versionMark = writer.mark;
  writer.string(object.apiVersion);
  writer.close(1, versionMark);
  writer.close(1, metaMark);
  writer.raw(magic);
  return writer.finish();
}

function jsonFields(object: unknown): JsonObject {
  if (!isJsonObject(object)) throw new DecodeError('wrong-type', 'an object to encode must be a JSON object');
  return object;
}

/**
 * One frame of a protobuf watch: length (4 bytes, big-endian) ‖ WatchEvent {1 type, 2 object {1 raw}}. The event
 * itself has no `k8s\0`; the object inside it has.
 *
 * @param object as `encodeKubeProtobuf` made it
 */
export function encodeWatchFrame(type: string, object: Buffer): Buffer {
  const writer = new WireWriter(object.length + 64);
  writer.raw(object);
  writer.close(1, 0);
  writer.close(2, 0);
  const typeMark = writer.mark;
  writer.string(type);
  writer.close(1, typeMark);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(writer.mark);
  writer.raw(length);
  return writer.finish();
}
