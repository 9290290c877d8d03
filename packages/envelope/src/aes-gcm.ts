/**
 * aesgcm: nonce (12 bytes) ‖ AES-GCM ciphertext ‖ tag (16 bytes); the storage key is the additional data.
 *
 * Source of the rule: k8s.io/apiserver `storage/value/encrypt/aes`; NIST SP 800-38D. Nonces are random, so one key
 * must not write more than 2^32 values (SP 800-38D §8.3): rotate it, or use KMS v2, which has no such limit.
 */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type CipherKey,
  type KeyObject,
} from 'node:crypto';
import { EnvelopeError, tooShort } from './errors.js';
import { createRandomFill, type RandomBytes } from './randomness.js';
import type { Opened, Transformer } from './transformer.js';

export const GCM_NONCE_BYTES = 12;
export const GCM_TAG_BYTES = 16;

const CIPHER_BY_KEY_BYTES = { 16: 'aes-128-gcm', 24: 'aes-192-gcm', 32: 'aes-256-gcm' } as const;
export type GcmCipher = (typeof CIPHER_BY_KEY_BYTES)[16 | 24 | 32];

/** @throws EnvelopeError `invalid-key` when `keyBytes` is not 16, 24 or 32 */
export function gcmCipher(keyBytes: number): GcmCipher {
  if (keyBytes === 16 || keyBytes === 24 || keyBytes === 32) return CIPHER_BY_KEY_BYTES[keyBytes];
  throw new EnvelopeError(
    'invalid-key',
    `an AES key has 16, 24 or 32 bytes, this one has ${keyBytes}: check the key or what the KMS returned`,
  );
}

/**
 * Opens nonce ‖ ciphertext ‖ tag, which begins at `start` and ends with the buffer.
 *
 * @throws EnvelopeError `malformed` when too short, `decryption-failed` when the tag does not verify
 */
export function openGcm(
  cipher: GcmCipher,
  key: CipherKey,
  sealed: Buffer,
  start: number,
  authenticatedData: Buffer,
): Buffer {
  const ciphertextStart = start + GCM_NONCE_BYTES;
  const tagStart = sealed.length - GCM_TAG_BYTES;
  if (sealed.length < ciphertextStart) throw tooShort();
  if (tagStart < ciphertextStart) throw authenticationFailed();
  // The tag handed over is always 16 bytes long, so OpenSSL never verifies a shortened one.
  const decipher = createDecipheriv(cipher, key, sealed.subarray(start, ciphertextStart));
  decipher.setAuthTag(sealed.subarray(tagStart));
  decipher.setAAD(authenticatedData);
  const data = decipher.update(sealed.subarray(ciphertextStart, tagStart));
  try {
    decipher.final();
  } catch {
    data.fill(0);
    throw authenticationFailed();
  }
  return data;
}

/**
 * Seals `data` under the nonce that already stands at `nonceStart` of `target`, and writes ciphertext and tag behind
 * it. `target` must have room for `data.length` + 16 bytes after the nonce.
 */
export function sealGcmInto(
  cipher: GcmCipher,
  key: CipherKey,
  data: Buffer,
  authenticatedData: Buffer,
  target: Buffer,
  nonceStart: number,
): void {
  const ciphertextStart = nonceStart + GCM_NONCE_BYTES;
  const encryptor = createCipheriv(cipher, key, target.subarray(nonceStart, ciphertextStart));
  encryptor.setAAD(authenticatedData);
  encryptor.update(data).copy(target, ciphertextStart);
  encryptor.final();
  encryptor.getAuthTag().copy(target, ciphertextStart + data.length);
}

/** As the reference's cipher words it, so that operators find known advice for it. */
function authenticationFailed(): EnvelopeError {
  return new EnvelopeError('decryption-failed', 'cipher: message authentication failed');
}

export interface AesGcmOptions {
  /** 16, 24 or 32 bytes; copied, so the caller may wipe it. */
  readonly key: Buffer;
  readonly randomBytes: RandomBytes;
}

/** @throws EnvelopeError `invalid-key` */
export function createAesGcmTransformer(options: AesGcmOptions): Transformer {
  const cipher = gcmCipher(options.key.length);
  const key: KeyObject = createSecretKey(options.key);
  const fillRandom = createRandomFill(options.randomBytes);
  return {
    transformFromStorage(stored: Buffer, authenticatedData: Buffer): Opened {
      return { data: openGcm(cipher, key, stored, 0, authenticatedData), stale: false };
    },
    transformToStorage(data: Buffer, authenticatedData: Buffer): Buffer {
      const stored = Buffer.allocUnsafe(GCM_NONCE_BYTES + data.length + GCM_TAG_BYTES);
      fillRandom(stored, 0, GCM_NONCE_BYTES);
      sealGcmInto(cipher, key, data, authenticatedData, stored, 0);
      return stored;
    },
  };
}
