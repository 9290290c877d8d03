/**
 * Unwrapping imported key material.
 *
 * RSAES_OAEP_*: the material is one RSAES-OAEP message (RFC 8017 §7.1). RSA_AES_KEY_WRAP_*: a 256-bit AES key as an
 * RSAES-OAEP message, followed by the material wrapped under it by AES key wrap with padding (RFC 5649), as PKCS#11's
 * CKM_RSA_AES_KEY_WRAP has it. Hash and MGF1 hash are the same; the label is empty.
 */
import { constants, createDecipheriv, createPrivateKey, type KeyObject, privateDecrypt } from 'node:crypto';
import type { ImportToken, WrappingAlgorithm } from './import-token.js';

const AES_KEY_BYTES = 32;
/** RFC 5649 §3: the alternative initial value without its length field, which OpenSSL adds. */
const KEY_WRAP_PAD_IV = Buffer.from('a65959a6', 'hex');
/** RFC 5649 §4.1: the integrity check value and at least one block. */
const MIN_WRAPPED_BYTES = 16;

const OAEP_HASHES: Readonly<Record<WrappingAlgorithm, 'sha1' | 'sha256'>> = {
  RSAES_OAEP_SHA_1: 'sha1',
  RSAES_OAEP_SHA_256: 'sha256',
  RSA_AES_KEY_WRAP_SHA_1: 'sha1',
  RSA_AES_KEY_WRAP_SHA_256: 'sha256',
};

/** The material; undefined when it was not wrapped so, for whatever reason. The caller zeroes it. */
export function unwrapMaterial({ algorithm, privateKey }: ImportToken, wrapped: Buffer): Buffer | undefined {
  const key = createPrivateKey({ key: privateKey, format: 'der', type: 'pkcs8' });
  const modulusBytes = (key.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  const hash = OAEP_HASHES[algorithm];
  if (algorithm === 'RSAES_OAEP_SHA_1' || algorithm === 'RSAES_OAEP_SHA_256') {
    return wrapped.length === modulusBytes ? decryptOaep(key, hash, wrapped) : undefined;
  }
  if (wrapped.length < modulusBytes + MIN_WRAPPED_BYTES) return undefined;
  const aesKey = decryptOaep(key, hash, wrapped.subarray(0, modulusBytes));
  if (aesKey?.length !== AES_KEY_BYTES) return undefined;
  const material = unwrapPadded(aesKey, wrapped.subarray(modulusBytes));
  aesKey.fill(0);
  return material;
}

function decryptOaep(key: KeyObject, oaepHash: string, message: Buffer): Buffer | undefined {
  try {
    return privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, message);
  } catch {
    return undefined;
  }
}

function unwrapPadded(aesKey: Buffer, wrapped: Buffer): Buffer | undefined {
  try {
    const decipher = createDecipheriv('id-aes256-wrap-pad', aesKey, KEY_WRAP_PAD_IV);
    return Buffer.concat([decipher.update(wrapped), decipher.final()]);
  } catch {
    return undefined;
  }
}
