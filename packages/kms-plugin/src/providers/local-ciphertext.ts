/**
 * What the local provider wraps a DEK into; docs/formats/local-plugin-ciphertext.md gives every byte.
 *
 *     version 1 (0x01) ‖ keyId length 1 ‖ keyId ‖ salt 32 ‖ nonce 12 ‖ AES-256-GCM ciphertext ‖ tag 16
 *
 * The key of each message is HKDF-Expand(SHA-256, key, "waxseal local v1" ‖ salt, 32) (RFC 5869 §2.3), so no number of
 * messages under one key reaches GCM's nonce limit (NIST SP 800-38D §8.3). All before the nonce is authenticated data.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';

const formatVersion = 1;
const saltBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const keyIdMaxBytes = 255;
const info = Buffer.from('waxseal local v1');

export interface LocalCiphertext {
  readonly keyId: string;
  readonly header: Buffer;
  readonly salt: Buffer;
  readonly nonce: Buffer;
  readonly sealed: Buffer;
  readonly tag: Buffer;
}

/** @returns the parts, or undefined for bytes of any other format */
export function parseLocalCiphertext(bytes: Buffer): LocalCiphertext | undefined {
  if (bytes.length < 2 || bytes[0] !== formatVersion) return undefined;
  const keyIdEnd = 2 + (bytes[1] ?? 0);
  const headerEnd = keyIdEnd + saltBytes;
  const nonceEnd = headerEnd + nonceBytes;
  if (keyIdEnd === 2 || bytes.length < nonceEnd + tagBytes) return undefined;
  return {
    keyId: bytes.toString('utf8', 2, keyIdEnd),
    header: bytes.subarray(0, headerEnd),
    salt: bytes.subarray(keyIdEnd, headerEnd),
    nonce: bytes.subarray(headerEnd, nonceEnd),
    sealed: bytes.subarray(nonceEnd, bytes.length - tagBytes),
    tag: bytes.subarray(bytes.length - tagBytes),
  };
}

export function sealLocal(
  keyId: string,
  key: Buffer,
  plaintext: Buffer,
  randomBytes: (sizeBytes: number) => Buffer,
): Buffer {
  const id = Buffer.from(keyId);
  if (id.length === 0 || id.length > keyIdMaxBytes) throw new RangeError('a local key id has 1 to 255 bytes');
  const random = randomBytes(saltBytes + nonceBytes);
  const salt = random.subarray(0, saltBytes);
  const nonce = random.subarray(saltBytes);
  const header = Buffer.concat([Buffer.from([formatVersion, id.length]), id, salt]);
  const messageKey = deriveKey(key, salt);
  const cipher = createCipheriv('aes-256-gcm', messageKey, nonce, { authTagLength: tagBytes });
  cipher.setAAD(header);
  const sealed = cipher.update(plaintext);
  cipher.final();
  messageKey.fill(0);
  return Buffer.concat([header, nonce, sealed, cipher.getAuthTag()]);
}

/** @returns the plaintext, or undefined when the tag does not fit */
export function openLocal(parts: LocalCiphertext, key: Buffer): Buffer | undefined {
  const messageKey = deriveKey(key, parts.salt);
  try {
    const decipher = createDecipheriv('aes-256-gcm', messageKey, parts.nonce, { authTagLength: tagBytes });
    decipher.setAAD(parts.header);
    decipher.setAuthTag(parts.tag);
    const plaintext = decipher.update(parts.sealed);
    try {
      decipher.final();
    } catch {
      plaintext.fill(0);
      return undefined;
    }
    return plaintext;
  } finally {
    messageKey.fill(0);
  }
}

/** One block of HKDF-Expand: T(1) = HMAC(key, info ‖ 0x01). */
function deriveKey(key: Buffer, salt: Buffer): Buffer {
  return createHmac('sha256', key)
    .update(info)
    .update(salt)
    .update(Buffer.from([1]))
    .digest();
}
