/**
 * Key ids, ARNs and alias names.
 *
 * Source of the rule: the KMS Developer Guide, "Key identifiers". A key id is a UUID, or `mrk-` and 32 hexadecimal
 * digits for a multi-Region key. Both are 16 bytes and one kind, which is how ciphertext blobs carry them.
 */

/** Kind byte and 16 bytes. */
export const KEY_ID_BYTES = 17;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const MULTI_REGION = /^mrk-[0-9a-f]{32}$/;
/** What a request may write: AWS looks for an id in capitals, and finds no key of it. */
const WELL_FORMED = /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$/i;

const KIND_UUID = 0;
const KIND_MULTI_REGION = 1;

export interface PackedKeyId {
  readonly multiRegion: boolean;
  /** 32 hexadecimal digits. */
  readonly hex: string;
}

export function isKeyId(text: string): boolean {
  return UUID.test(text) || MULTI_REGION.test(text);
}

/** A fresh id of a multi-Region key. */
export function createMultiRegionKeyId(randomBytes: (size: number) => Buffer): string {
  return formatKeyId({ multiRegion: true, hex: randomBytes(16).toString('hex') });
}

/** A fresh id of a single-Region key: a random UUID (RFC 9562 version 4). */
export function createKeyId(randomBytes: (size: number) => Buffer): string {
  const bytes = Buffer.from(randomBytes(16));
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  return formatKeyId({ multiRegion: false, hex: bytes.toString('hex') });
}

export function formatKeyId({ multiRegion, hex }: PackedKeyId): string {
  if (multiRegion) return `mrk-${hex}`;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Writes 17 bytes at `at`. `keyId` has passed isKeyId. */
export function packKeyId(keyId: string, target: Buffer, at: number): void {
  const multiRegion = keyId.startsWith('mrk-');
  target[at] = multiRegion ? KIND_MULTI_REGION : KIND_UUID;
  target.write(multiRegion ? keyId.slice(4) : keyId.replaceAll('-', ''), at + 1, 'hex');
}

/** Undefined when the kind is unknown. */
export function unpackKeyId(source: Buffer, at: number): PackedKeyId | undefined {
  const kind = source[at];
  if (kind !== KIND_UUID && kind !== KIND_MULTI_REGION) return undefined;
  return { multiRegion: kind === KIND_MULTI_REGION, hex: source.toString('hex', at + 1, at + KEY_ID_BYTES) };
}

const PARTITION = 'aws';

export function keyArn(region: string, accountId: string, keyId: string): string {
  return `arn:${PARTITION}:kms:${region}:${accountId}:key/${keyId}`;
}

/** @param aliasName with its `alias/` prefix */
export function aliasArn(region: string, accountId: string, aliasName: string): string {
  return `arn:${PARTITION}:kms:${region}:${accountId}:${aliasName}`;
}

/** What a KeyId parameter can say. `scope` is present when it was an ARN. */
export type KeyReference =
  | { readonly kind: 'key'; readonly keyId: string; readonly scope?: ArnScope }
  | { readonly kind: 'alias'; readonly aliasName: string; readonly scope?: ArnScope }
  /** `shown` is how AWS's refusal names it. */
  | { readonly kind: 'malformed-id'; readonly shown: string }
  | { readonly kind: 'malformed-arn' };

interface ArnScope {
  readonly region: string;
  readonly accountId: string;
}

/** Total: every text has an answer. */
export function parseKeyReference(text: string): KeyReference {
  if (!text.startsWith('arn:')) return parseName(text);
  const [, partition, service, region, accountId, ...rest] = text.split(':');
  if (partition !== PARTITION || service !== 'kms' || !region || !/^\d{12}$/.test(accountId ?? '')) {
    return { kind: 'malformed-arn' };
  }
  const scope = { region, accountId: accountId as string };
  const resource = rest.join(':');
  if (resource.startsWith('alias/')) return { kind: 'alias', aliasName: resource, scope };
  if (!resource.startsWith('key/')) return { kind: 'malformed-arn' };
  const keyId = resource.slice('key/'.length);
  return WELL_FORMED.test(keyId) ? { kind: 'key', keyId, scope } : { kind: 'malformed-id', shown: keyId };
}

function parseName(text: string): KeyReference {
  if (text.startsWith('alias/')) return { kind: 'alias', aliasName: text };
  return WELL_FORMED.test(text) ? { kind: 'key', keyId: text } : { kind: 'malformed-id', shown: `'${text}'` };
}
