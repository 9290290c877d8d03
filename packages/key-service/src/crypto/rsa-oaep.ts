/** RSAES-OAEP (RFC 8017 §7.1) with SHA-1 or SHA-256, the label empty and MGF1 with the same hash. */
import { constants, privateDecrypt, publicEncrypt } from 'node:crypto';
import type { RsaEncryptionAlgorithm } from '../keys/key-specs.js';
import type { RsaKey } from './private-key.js';

const HASHES = {
  RSAES_OAEP_SHA_1: { oaepHash: 'sha1', bytes: 20 },
  RSAES_OAEP_SHA_256: { oaepHash: 'sha256', bytes: 32 },
} as const;

/** §7.1.1: k − 2 hLen − 2. */
export function maxOaepPlaintextBytes({ modulusBytes }: RsaKey, algorithm: RsaEncryptionAlgorithm): number {
  return modulusBytes - 2 * HASHES[algorithm].bytes - 2;
}

/** @param plaintext at most maxOaepPlaintextBytes */
export function encryptOaep(key: RsaKey, algorithm: RsaEncryptionAlgorithm, plaintext: Buffer): Buffer {
  const { oaepHash } = HASHES[algorithm];
  return publicEncrypt(
    { key: key.publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash },
    plaintext,
  );
}

/** Undefined for everything that is no ciphertext of this key and algorithm; which check failed is not told. */
export function decryptOaep(
  key: RsaKey,
  algorithm: RsaEncryptionAlgorithm,
  ciphertext: Buffer,
): Buffer | undefined {
  if (ciphertext.length !== key.modulusBytes) return undefined;
  const { oaepHash } = HASHES[algorithm];
  try {
    return privateDecrypt(
      { key: key.privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash },
      ciphertext,
    );
  } catch {
    return undefined;
  }
}
