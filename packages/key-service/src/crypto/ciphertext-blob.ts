/**
 * CiphertextBlob: what Encrypt and GenerateDataKey give out and Decrypt takes back.
 *
 * The blob names the key and the backing key (key material) that made it, so Decrypt needs no key id and rotation loses
 * nothing. Every message is encrypted under its own key, HKDF-SHA256 (RFC 5869) of the key material and a random salt,
 * so that no number of messages under one KMS key comes near AES-GCM's nonce limit (NIST SP 800-38D §8.3). Header and
 * encryption context are the additional authenticated data. Every byte: docs/formats/key-service-ciphertext-blob.md.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import { formatKeyId, KEY_ID_BYTES, packKeyId, unpackKeyId } from '../keys/key-id.js';

const FORMAT_VERSION = 1;
/** Encrypted in a token (token-blob.ts). */
export const TOKEN_FORMAT_VERSION = 2;
const SALT_BYTES = 16;
export const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const MATERIAL_ID_BYTES = 32;
/** 12 decimal digits fit in 40 bits. */
const ACCOUNT_BYTES = 5;

const ACCOUNT_AT = 1;
const KEY_ID_AT = ACCOUNT_AT + ACCOUNT_BYTES;
const MATERIAL_AT = KEY_ID_AT + KEY_ID_BYTES;
/** Length of what the header of every format begins with: version, account, key, backing key. */
export const NAME_BYTES = MATERIAL_AT + MATERIAL_ID_BYTES;
const SALT_AT = NAME_BYTES;
const NONCE_AT = SALT_AT + SALT_BYTES;
const HEADER_BYTES = NONCE_AT + NONCE_BYTES;

/** Shortest and longest blob: an empty and a 4,096-byte plaintext fit, and nothing much bigger is ever parsed. */
export const MIN_BLOB_BYTES = HEADER_BYTES + TAG_BYTES;
const MIN_TOKEN_BLOB_BYTES = NAME_BYTES + NONCE_BYTES + TAG_BYTES;

/** RFC 5869's info with the counter of the first block behind it: a key of 32 bytes is one block of SHA-256. */
const DERIVATION_BLOCK = Buffer.from('waxseal/key-service/ciphertext-blob/v1\x01');

/** Names one backing key of one KMS key. */
export interface BackingKeyName {
  readonly accountId: string;
  readonly keyId: string;
  /** 64 hexadecimal digits: the API's KeyMaterialId. */
  readonly materialId: string;
}

export interface BlobHeader extends BackingKeyName {
  /** True: only the token of a custom key store can open it. */
  readonly inToken: boolean;
}

/**
 * @param material 32 bytes, the backing key `name` names
 * @param context the encoded encryption context (encodeEncryptionContext)
 * @param randomBytes salt and nonce come from here
 */
export function sealBlob(
  name: BackingKeyName,
  material: Buffer,
  context: Buffer,
  plaintext: Buffer,
  randomBytes: (size: number) => Buffer,
): Buffer {
  const blob = Buffer.allocUnsafe(HEADER_BYTES + plaintext.length + TAG_BYTES);
  writeName(blob, FORMAT_VERSION, name);
  randomBytes(SALT_BYTES + NONCE_BYTES).copy(blob, SALT_AT);

  const messageKey = deriveMessageKey(material, blob);
  const cipher = createCipheriv('aes-256-gcm', messageKey, blob.subarray(NONCE_AT, HEADER_BYTES));
  cipher.setAAD(authenticatedData(blob.subarray(0, HEADER_BYTES), context));
  cipher.update(plaintext).copy(blob, HEADER_BYTES);
  cipher.final();
  cipher.getAuthTag().copy(blob, HEADER_BYTES + plaintext.length);
  messageKey.fill(0);
  return blob;
}

/** Writes the first NAME_BYTES of a blob. */
export function writeName(blob: Buffer, version: number, name: BackingKeyName): void {
  blob[0] = version;
  blob.writeUIntBE(Number(name.accountId), ACCOUNT_AT, ACCOUNT_BYTES);
  packKeyId(name.keyId, blob, KEY_ID_AT);
  blob.write(name.materialId, MATERIAL_AT, 'hex');
}

/** What the header of a blob says, before anything of it is proven. Undefined: this is no blob of ours. */
export function readBlobHeader(blob: Buffer): BlobHeader | undefined {
  const inToken = blob[0] === TOKEN_FORMAT_VERSION;
  if (blob.length < (inToken ? MIN_TOKEN_BLOB_BYTES : MIN_BLOB_BYTES)) return undefined;
  if (!inToken && blob[0] !== FORMAT_VERSION) return undefined;
  const account = blob.readUIntBE(ACCOUNT_AT, ACCOUNT_BYTES);
  const keyId = unpackKeyId(blob, KEY_ID_AT);
  if (account > 999_999_999_999 || keyId === undefined) return undefined;
  return {
    inToken,
    accountId: account.toString().padStart(12, '0'),
    keyId: formatKeyId(keyId),
    materialId: blob.toString('hex', MATERIAL_AT, SALT_AT),
  };
}

/** The plaintext; undefined when key, context or any byte is not what sealBlob saw. */
export function openBlob(material: Buffer, context: Buffer, blob: Buffer): Buffer | undefined {
  if (blob.length < MIN_BLOB_BYTES) return undefined;
  const messageKey = deriveMessageKey(material, blob);
  const tagAt = blob.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', messageKey, blob.subarray(NONCE_AT, HEADER_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(authenticatedData(blob.subarray(0, HEADER_BYTES), context));
  decipher.setAuthTag(blob.subarray(tagAt));
  const plaintext = decipher.update(blob.subarray(HEADER_BYTES, tagAt));
  messageKey.fill(0);
  try {
    decipher.final();
    return plaintext;
  } catch {
    plaintext.fill(0);
    return undefined;
  }
}

/**
 * HKDF-SHA256 as its two HMACs, extract and expand (RFC 5869 §2.2, §2.3): the same bytes as hkdfSync, which takes more than
 * twice as long for a key this short, and this is half of the work of a Decrypt.
 */
function deriveMessageKey(material: Buffer, blob: Buffer): Buffer {
  const salt = blob.subarray(SALT_AT, NONCE_AT);
  const pseudorandomKey = createHmac('sha256', salt).update(material).digest();
  const messageKey = createHmac('sha256', pseudorandomKey).update(DERIVATION_BLOCK).digest();
  pseudorandomKey.fill(0);
  return messageKey;
}

/** A header has a fixed length, so nothing of it can pass for context. */
export function authenticatedData(header: Buffer, context: Buffer): Buffer {
  return Buffer.concat([header, context]);
}
