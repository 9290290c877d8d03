/**
 * What the pkcs11 provider wraps a DEK into; docs/formats/kms-plugin-pkcs11.md gives every byte.
 *
 *     "pkcs11:v1:" ‖ mechanism 1 ‖ CKA_ID length 1 ‖ CKA_ID ‖ wrapped length 2 ‖ wrapped message key ‖ AES-256-GCM ciphertext ‖ tag 16
 *
 * The token wraps a message key of 32 bytes, made for this message; that one seals the plaintext. So a plaintext may have any
 * length whatever the mechanism takes, and every byte before the ciphertext is authenticated, which OAEP and key wrap alone do
 * not do.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { wrapMechanisms, type Pkcs11Mechanism } from './pkcs11-mechanisms.js';

const prefix = Buffer.from('pkcs11:v1:', 'latin1');
const tagBytes = 16;
const keyIdMaxBytes = 255;
const wrappedMaxBytes = 2048;
/** The message key is used once, so its nonce need not differ (NIST SP 800-38D §8.2.1). */
const nonce = Buffer.alloc(12);

export const messageKeyBytes = 32;

export interface Pkcs11Ciphertext {
  readonly mechanism: Pkcs11Mechanism;
  /** CKA_ID, 1..255 bytes. */
  readonly keyId: Buffer;
  /** Everything up to and with CKA_ID; authenticated data of the wrapping where the mechanism has such. */
  readonly head: Buffer;
  readonly wrapped: Buffer;
  /** Everything before the sealed plaintext. */
  readonly header: Buffer;
  readonly sealed: Buffer;
  readonly tag: Buffer;
}

/** @returns the parts, or undefined for bytes of any other format */
export function parsePkcs11Ciphertext(bytes: Buffer): Pkcs11Ciphertext | undefined {
  const idStart = prefix.length + 2;
  if (bytes.length < idStart || !bytes.subarray(0, prefix.length).equals(prefix)) return undefined;
  const mechanism = mechanismOf(bytes.readUInt8(prefix.length));
  const headEnd = idStart + bytes.readUInt8(prefix.length + 1);
  if (mechanism === undefined || headEnd === idStart || bytes.length < headEnd + 2) return undefined;
  const wrappedBytes = bytes.readUInt16BE(headEnd);
  const headerEnd = headEnd + 2 + wrappedBytes;
  const exactBytes = wrapMechanisms[mechanism].wrappedBytes;
  if (wrappedBytes === 0 || wrappedBytes > wrappedMaxBytes || bytes.length < headerEnd + tagBytes)
    return undefined;
  if (exactBytes !== undefined && wrappedBytes !== exactBytes) return undefined;
  return {
    mechanism,
    keyId: bytes.subarray(idStart, headEnd),
    head: bytes.subarray(0, headEnd),
    wrapped: bytes.subarray(headEnd + 2, headerEnd),
    header: bytes.subarray(0, headerEnd),
    sealed: bytes.subarray(headerEnd, bytes.length - tagBytes),
    tag: bytes.subarray(bytes.length - tagBytes),
  };
}

/** @param keyId CKA_ID, 1..255 bytes */
export function pkcs11Head(mechanism: Pkcs11Mechanism, keyId: Buffer): Buffer {
  if (keyId.length === 0 || keyId.length > keyIdMaxBytes) throw new RangeError('CKA_ID has 1 to 255 bytes');
  return Buffer.concat([prefix, Buffer.from([wrapMechanisms[mechanism].number, keyId.length]), keyId]);
}

export function sealPkcs11(head: Buffer, wrapped: Buffer, messageKey: Buffer, plaintext: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(wrapped.length);
  const header = Buffer.concat([head, length, wrapped]);
  const cipher = createCipheriv('aes-256-gcm', messageKey, nonce, { authTagLength: tagBytes });
  cipher.setAAD(header);
  const sealed = cipher.update(plaintext);
  cipher.final();
  return Buffer.concat([header, sealed, cipher.getAuthTag()]);
}

/** @returns the plaintext, or undefined when the tag does not fit */
export function openPkcs11(
  { header, sealed, tag }: Pkcs11Ciphertext,
  messageKey: Buffer,
): Buffer | undefined {
  const decipher = createDecipheriv('aes-256-gcm', messageKey, nonce, { authTagLength: tagBytes });
  decipher.setAAD(header);
  decipher.setAuthTag(tag);
  const plaintext = decipher.update(sealed);
  try {
    decipher.final();
  } catch {
    plaintext.fill(0);
    return undefined;
  }
  return plaintext;
}

function mechanismOf(number: number): Pkcs11Mechanism | undefined {
  for (const [name, row] of Object.entries(wrapMechanisms)) {
    if (row.number === number) return name as Pkcs11Mechanism;
  }
  return undefined;
}
