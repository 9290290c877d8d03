/**
 * EncryptedObject: the frame of a KMS v2 value.
 *
 * Source of the rule: k8s.io/apiserver `storage/value/encrypt/envelope/kmsv2/v2/api.proto` and the limits in
 * `kmsv2/envelope.go`; the wire format is proto3. Fields: 1 encryptedData bytes, 2 keyID string, 3
 * encryptedDEKSource bytes, 4 annotations map<string, bytes>, 5 encryptedDEKSourceType enum.
 *
 * The decoder is total: whatever the bytes, it answers with an object inside the limits or an EnvelopeError.
 */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { EnvelopeError, errorMessage } from './errors.js';

/** What the wrapped bytes are: the DEK itself, or a seed from which each value derives its own DEK. */
export const DEK_SOURCE_TYPE = { AES_GCM_KEY: 0, HKDF_SHA256_XNONCE_AES_GCM_SEED: 1 } as const;
export type DekSourceType = (typeof DEK_SOURCE_TYPE)[keyof typeof DEK_SOURCE_TYPE];

const MAX_KEY_ID_BYTES = 1024;
const MAX_ENCRYPTED_DEK_SOURCE_BYTES = 1024;
/** Keys and values of all annotations together. */
const MAX_ANNOTATIONS_BYTES = 32 * 1024;

export type Annotations = Readonly<Record<string, Buffer>>;

/** Everything of an EncryptedObject but the encrypted data: what names and holds the DEK. */
export interface DekSource {
  /** Which KMS key wrapped it; 1..1024 bytes of UTF-8. */
  readonly keyId: string;
  /** 1..1024 bytes. */
  readonly encryptedDekSource: Buffer;
  /** What the KMS asked to be stored beside it; keys are fully qualified domain names. */
  readonly annotations: Annotations;
  readonly encryptedDekSourceType: DekSourceType;
}

export interface EncryptedObject extends DekSource {
  /** A view of the decoded buffer. */
  readonly encryptedData: Buffer;
}

const FIELD = { encryptedData: 1, keyId: 2, encryptedDekSource: 3, annotations: 4, sourceType: 5 } as const;
/** Field 1, length-delimited. */
const ENCRYPTED_DATA_TAG = 0x0a;
const MAP_ENTRY = { key: 1, value: 2 } as const;

/**
 * @throws EnvelopeError `malformed` when the bytes are no EncryptedObject, `limit-exceeded` when a field breaks its
 * limit
 */
export function decodeEncryptedObject(body: Buffer): EncryptedObject {
  const object = parse(body);
  if (object.encryptedData.length === 0) {
    throw new EnvelopeError('malformed', 'encrypted data is empty');
  }
  const sourceType = object.encryptedDekSourceType;
  if (!isDekSourceType(sourceType)) {
    throw new EnvelopeError('malformed', `unknown encryptedDEKSourceType: ${sourceType}`);
  }
  const decoded = { ...object, encryptedDekSourceType: sourceType };
  validateDekSource(decoded);
  return decoded;
}

/** @throws EnvelopeError as decoding does: nothing is written that could not be read */
export function encodeEncryptedObject(object: EncryptedObject): Buffer {
  if (object.encryptedData.length === 0) throw new EnvelopeError('malformed', 'encrypted data is empty');
  const head = Buffer.alloc(encryptedDataHeadBytes(object.encryptedData.length));
  writeEncryptedDataHead(head, 0, object.encryptedData.length);
  return Buffer.concat([head, object.encryptedData, encodeDekSource(object)]);
}

/** Bytes that `writeEncryptedDataHead` writes for encrypted data of `length` bytes. */
export function encryptedDataHeadBytes(length: number): number {
  let bytes = 2;
  for (let rest = length >>> 7; rest !== 0; rest >>>= 7) bytes++;
  return bytes;
}

/** Writes field 1's tag and length at `start`; returns where the encrypted data begins. */
export function writeEncryptedDataHead(target: Buffer, start: number, length: number): number {
  let offset = start;
  target[offset++] = ENCRYPTED_DATA_TAG;
  let rest = length;
  for (; rest > 0x7f; rest >>>= 7) target[offset++] = (rest & 0x7f) | 0x80;
  target[offset++] = rest;
  return offset;
}

/**
 * Where the encrypted data lies in a body that begins with it, as every writer's does; undefined for any other body.
 * What follows `end` is the encoded DEK source, equal for equal sources.
 */
export function locateEncryptedData(
  body: Buffer,
): { readonly start: number; readonly end: number } | undefined {
  if (body[0] !== ENCRYPTED_DATA_TAG) return undefined;
  let length = 0;
  // Four length bytes reach 256 MiB, far beyond what storage takes.
  for (let i = 1; i <= 4; i++) {
    const byte = body[i];
    if (byte === undefined) return undefined;
    length |= (byte & 0x7f) << (7 * (i - 1));
    if (byte < 0x80) {
      const start = i + 1;
      const end = start + length;
      return length > 0 && end <= body.length ? { start, end } : undefined;
    }
  }
  return undefined;
}

/**
 * Fields 2 to 5, in that order, annotations sorted by key: the part that is the same for every value under one DEK
 * source.
 *
 * @throws EnvelopeError `malformed` or `limit-exceeded`
 */
export function encodeDekSource(source: DekSource): Buffer {
  validateDekSource(source);
  const writer = new BinaryWriter();
  writer.tag(FIELD.keyId, WireType.LengthDelimited).string(source.keyId);
  writer.tag(FIELD.encryptedDekSource, WireType.LengthDelimited).bytes(source.encryptedDekSource);
  for (const [key, value] of sortedEntries(source.annotations)) {
    writer.tag(FIELD.annotations, WireType.LengthDelimited).fork();
    writer.tag(MAP_ENTRY.key, WireType.LengthDelimited).string(key);
    writer.tag(MAP_ENTRY.value, WireType.LengthDelimited).bytes(value);
    writer.join();
  }
  // proto3 leaves a zero out
  if (source.encryptedDekSourceType !== DEK_SOURCE_TYPE.AES_GCM_KEY) {
    writer.tag(FIELD.sourceType, WireType.Varint).int32(source.encryptedDekSourceType);
  }
  return Buffer.from(writer.finish());
}

/** Annotations in one order, so that equal sources have equal bytes. */
function sortedEntries(annotations: Annotations): readonly (readonly [string, Buffer])[] {
  return Object.entries(annotations).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** @throws EnvelopeError `malformed` when a mandatory field is empty, `limit-exceeded` when one is too long */
function validateDekSource(source: DekSource): void {
  const dekBytes = source.encryptedDekSource.length;
  if (dekBytes === 0) {
    throw new EnvelopeError(
      'malformed',
      'failed to validate encrypted DEK source: encrypted DEK source is empty',
    );
  }
  if (dekBytes > MAX_ENCRYPTED_DEK_SOURCE_BYTES) {
    throw new EnvelopeError(
      'limit-exceeded',
      `failed to validate encrypted DEK source: encrypted DEK source is ${dekBytes} bytes, which exceeds the max size of ${MAX_ENCRYPTED_DEK_SOURCE_BYTES}`,
    );
  }
  const keyIdFault = keyIdProblem(source.keyId);
  if (keyIdFault !== undefined) {
    throw new EnvelopeError(
      keyIdFault.kind === 'empty' ? 'malformed' : 'limit-exceeded',
      `failed to validate key id: ${keyIdFault.message}`,
    );
  }
  validateAnnotations(source.annotations);
}

/** What is wrong with a key id, in the reference's words (`kind` is its metric label), or undefined. */
export function keyIdProblem(
  keyId: string,
): { readonly kind: 'empty' | 'too_long'; readonly message: string } | undefined {
  const keyIdBytes = Buffer.byteLength(keyId);
  if (keyIdBytes === 0) return { kind: 'empty', message: 'keyID is empty' };
  if (keyIdBytes > MAX_KEY_ID_BYTES) {
    return {
      kind: 'too_long',
      message: `keyID is ${keyIdBytes} bytes, which exceeds the max size of ${MAX_KEY_ID_BYTES}`,
    };
  }
  return undefined;
}

function validateAnnotations(annotations: Annotations): void {
  let totalBytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    totalBytes += Buffer.byteLength(key) + value.length;
    if (!isFullyQualifiedDomainName(key)) {
      throw new EnvelopeError(
        'malformed',
        `failed to validate annotations: annotations: Invalid value: ${JSON.stringify(key.slice(0, 253))}: should be a fully qualified domain name such as "key-version.kms.example.com"`,
      );
    }
  }
  if (totalBytes > MAX_ANNOTATIONS_BYTES) {
    throw new EnvelopeError(
      'limit-exceeded',
      `failed to validate annotations: total size of annotations is ${totalBytes}, which exceeds the max size of ${MAX_ANNOTATIONS_BYTES}`,
    );
  }
}

const DNS_LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/** RFC 1123 labels, at least two, at most 253 characters, a final dot allowed (k8s.io/apimachinery `validation`). */
function isFullyQualifiedDomainName(name: string): boolean {
  const domain = name.endsWith('.') ? name.slice(0, -1) : name;
  if (domain.length > 253) return false;
  const labels = domain.split('.');
  return labels.length >= 2 && labels.every((label) => DNS_LABEL.test(label));
}

function isDekSourceType(value: number): value is DekSourceType {
  return value === DEK_SOURCE_TYPE.AES_GCM_KEY || value === DEK_SOURCE_TYPE.HKDF_SHA256_XNONCE_AES_GCM_SEED;
}

interface ParsedObject extends Omit<EncryptedObject, 'encryptedDekSourceType'> {
  readonly encryptedDekSourceType: number;
}

/** proto3 rules: the last one of a repeated singular field wins, unknown fields are skipped. */
function parse(body: Buffer): ParsedObject {
  let encryptedData: Buffer = body.subarray(0, 0);
  let keyId = '';
  let encryptedDekSource: Buffer = body.subarray(0, 0);
  let encryptedDekSourceType = 0;
  const annotations: Record<string, Buffer> = Object.create(null);
  eachField(body, (fieldNumber, wireType, reader) => {
    if (fieldNumber === FIELD.sourceType && wireType === WireType.Varint) {
      encryptedDekSourceType = reader.int32();
      return true;
    }
    if (wireType !== WireType.LengthDelimited) return false;
    switch (fieldNumber) {
      case FIELD.encryptedData:
        encryptedData = view(reader.bytes());
        return true;
      case FIELD.keyId:
        keyId = utf8(view(reader.bytes()));
        return true;
      case FIELD.encryptedDekSource:
        encryptedDekSource = view(reader.bytes());
        return true;
      case FIELD.annotations: {
        const [key, value] = parseMapEntry(view(reader.bytes()));
        annotations[key] = value;
        return true;
      }
      default:
        return false;
    }
  });
  return { encryptedData, keyId, encryptedDekSource, annotations, encryptedDekSourceType };
}

function parseMapEntry(entry: Buffer): readonly [string, Buffer] {
  let key = '';
  let value: Buffer = entry.subarray(0, 0);
  eachField(entry, (fieldNumber, wireType, reader) => {
    if (wireType !== WireType.LengthDelimited) return false;
    if (fieldNumber === MAP_ENTRY.key) key = utf8(view(reader.bytes()));
    else if (fieldNumber === MAP_ENTRY.value) value = view(reader.bytes());
    else return false;
    return true;
  });
  return [key, value];
}

/** Calls `read` for every field; what it does not take is skipped. Every failure is an EnvelopeError `malformed`. */
function eachField(
  message: Buffer,
  read: (fieldNumber: number, wireType: WireType, reader: BinaryReader) => boolean,
): void {
  const reader = new BinaryReader(message);
  try {
    while (reader.pos < reader.len) {
      const [fieldNumber, wireType] = reader.tag();
      if (!read(fieldNumber, wireType, reader)) reader.skip(wireType, fieldNumber);
    }
    // A varint at the very end may have run over it.
    if (reader.pos > reader.len) throw new RangeError('premature EOF');
  } catch (error) {
    if (error instanceof EnvelopeError) throw error;
    throw new EnvelopeError('malformed', `cannot parse the EncryptedObject: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function utf8(bytes: Buffer): string {
  try {
    return UTF8.decode(bytes);
  } catch (error) {
    throw new EnvelopeError(
      'malformed',
      'cannot parse the EncryptedObject: string field contains invalid UTF-8',
      {
        cause: error,
      },
    );
  }
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
