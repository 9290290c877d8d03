/**
 * What a value holds for one recipient: an annotation of its own, beside the primary's ciphertext.
 *
 * docs/formats/kms-plugin-recipients.md gives every byte and says what the tag is good for.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Wrapped } from '../provider.js';

/** How the DEK source was wrapped. */
export type WrapKind = 'provider' | 'age-x25519' | 'rsa-oaep-256';

/** The DEK source wrapped for one recipient. */
export interface RecipientWrapping extends Wrapped {
  readonly kind: WrapKind;
  /** The recipient's key at the time of writing; of an escrow key its fingerprint. */
  readonly keyId: string;
}

/** A parsed annotation; the tag is not verified yet. */
export interface RecipientAnnotation extends RecipientWrapping {
  /** All before the tag. */
  readonly body: Buffer;
  readonly tag: Buffer;
}

/** The part of a stored value that belongs to the primary: what the tags of all recipients are bound to. */
export interface PrimaryPart extends Wrapped {
  readonly keyId: string;
}

const suffix = '.v1.recipients.waxseal.dev';
const formatVersion = 1;
const tagBytes = 32;
const label = Buffer.from('waxseal recipient v1\0');
const kinds: Readonly<Record<WrapKind, number>> = { provider: 1, 'age-x25519': 2, 'rsa-oaep-256': 3 };
const namePattern = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/** True for a name that a recipient may have: one label of a domain name (RFC 1123). */
export function isMemberName(name: string): boolean {
  return namePattern.test(name);
}

/** `NAME.v1.recipients.waxseal.dev` */
export function annotationName(recipient: string): string {
  return `${recipient}${suffix}`;
}

/** @returns the recipient an annotation is for, or undefined for one of another kind */
function recipientOf(annotation: string): string | undefined {
  if (!annotation.endsWith(suffix)) return undefined;
  const name = annotation.slice(0, -suffix.length);
  return isMemberName(name) ? name : undefined;
}

/** The names of the recipients a value is wrapped for. */
export function recipientsOf(annotations: Readonly<Record<string, Buffer>>): readonly string[] {
  return Object.keys(annotations).flatMap((name) => recipientOf(name) ?? []);
}

/** The annotations that the primary made itself. */
export function primaryAnnotations(
  annotations: Readonly<Record<string, Buffer>>,
): Readonly<Record<string, Buffer>> {
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => recipientOf(name) === undefined));
}

/** @throws RangeError when a part is longer than its length field can say */
export function sealAnnotation(
  recipient: string,
  wrapping: RecipientWrapping,
  dekSource: Buffer,
  primary: PrimaryPart,
): Buffer {
  const entries = Object.entries(wrapping.annotations);
  const body = Buffer.concat([
    Buffer.from([formatVersion, kinds[wrapping.kind]]),
    sized16(Buffer.from(wrapping.keyId)),
    sized16(wrapping.ciphertext),
    uint16(entries.length),
    ...entries.flatMap(([name, value]) => [sized16(Buffer.from(name)), sized16(value)]),
  ]);
  return Buffer.concat([body, tagOf(recipient, body, dekSource, primary)]);
}

/** @returns the parts, or undefined for bytes of any other format */
export function parseAnnotation(bytes: Buffer): RecipientAnnotation | undefined {
  if (bytes.length < 2 + tagBytes || bytes[0] !== formatVersion) return undefined;
  const kind = (Object.keys(kinds) as WrapKind[]).find((name) => kinds[name] === bytes[1]);
  const body = bytes.subarray(0, bytes.length - tagBytes);
  let offset = 2;
  const take16 = (): Buffer | undefined => {
    if (offset + 2 > body.length) return undefined;
    const start = offset + 2;
    const end = start + body.readUInt16BE(offset);
    if (end > body.length) return undefined;
    offset = end;
    return body.subarray(start, end);
  };
  const keyId = take16();
  const ciphertext = take16();
  if (kind === undefined || keyId === undefined || ciphertext === undefined || ciphertext.length === 0)
    return undefined;
  if (offset + 2 > body.length) return undefined;
  const count = body.readUInt16BE(offset);
  offset += 2;
  const annotations: Record<string, Buffer> = Object.create(null) as Record<string, Buffer>;
  for (let entry = 0; entry < count; entry += 1) {
    const name = take16();
    const value = take16();
    if (name === undefined || value === undefined) return undefined;
    annotations[name.toString('utf8')] = value;
  }
  if (offset !== body.length) return undefined;
  return {
    kind,
    keyId: keyId.toString('utf8'),
    ciphertext,
    annotations: { ...annotations },
    body,
    tag: bytes.subarray(body.length),
  };
}

/**
 * Whether this DEK source, this recipient and the primary's part of the value were put together by whoever knew the DEK
 * source: an annotation of another value has another tag.
 */
export function tagFits(
  recipient: string,
  annotation: RecipientAnnotation,
  dekSource: Buffer,
  primary: PrimaryPart,
): boolean {
  return timingSafeEqual(annotation.tag, tagOf(recipient, annotation.body, dekSource, primary));
}

/** HMAC pads its key with zeros, so that the length of the DEK source has to be said (RFC 2104 §2). */
function tagOf(recipient: string, body: Buffer, dekSource: Buffer, primary: PrimaryPart): Buffer {
  return createHmac('sha256', dekSource)
    .update(label)
    .update(uint16(dekSource.length))
    .update(sized16(Buffer.from(recipient)))
    .update(digestOf(primary))
    .update(body)
    .digest();
}

/** The same for the annotations in any order: an API server stores them as a map. */
function digestOf(primary: PrimaryPart): Buffer {
  const hash = createHash('sha256').update(sized16(Buffer.from(primary.keyId)));
  hash.update(sized16(primary.ciphertext));
  const entries = Object.entries(primaryAnnotations(primary.annotations)).toSorted(([a], [b]) =>
    a < b ? -1 : 1,
  );
  for (const [name, value] of entries) hash.update(sized16(Buffer.from(name))).update(sized16(value));
  return hash.digest();
}

function sized16(bytes: Buffer): Buffer {
  return Buffer.concat([uint16(bytes.length), bytes]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
