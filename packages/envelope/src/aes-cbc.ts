/**
 * aescbc: IV (16 bytes) ‖ AES-CBC ciphertext with PKCS#7 padding; nothing is authenticated.
 *
 * Source of the rule: k8s.io/apiserver `storage/value/encrypt/aes`; RFC 5652 §6.3 for the padding. Without a tag,
 * changed bytes can open as other bytes, and a value can be moved to another storage key: do not choose it for new
 * clusters. A changed IV bit flips the same plaintext bit; a changed ciphertext bit garbles its block.
 */
import { createCipheriv, createDecipheriv, createSecretKey } from 'node:crypto';
import { EnvelopeError, tooShort } from './errors.js';
import { createRandomFill, type RandomBytes } from './randomness.js';
import type { Opened, Transformer } from './transformer.js';

const BLOCK_BYTES = 16;
const CIPHER_BY_KEY_BYTES = { 16: 'aes-128-cbc', 24: 'aes-192-cbc', 32: 'aes-256-cbc' } as const;

export interface AesCbcOptions {
  /** 16, 24 or 32 bytes; copied, so the caller may wipe it. */
  readonly key: Buffer;
  readonly randomBytes: RandomBytes;
}

/** @throws EnvelopeError `invalid-key` */
export function createAesCbcTransformer(options: AesCbcOptions): Transformer {
  const keyBytes = options.key.length;
  if (keyBytes !== 16 && keyBytes !== 24 && keyBytes !== 32) {
    throw new EnvelopeError('invalid-key', `an AES key has 16, 24 or 32 bytes, this one has ${keyBytes}`);
  }
  const cipher = CIPHER_BY_KEY_BYTES[keyBytes];
  const key = createSecretKey(options.key);
  const fillRandom = createRandomFill(options.randomBytes);

  return {
    transformFromStorage(stored: Buffer): Opened {
      if (stored.length < BLOCK_BYTES) throw tooShort();
      if (stored.length % BLOCK_BYTES !== 0) {
        throw new EnvelopeError('malformed', 'the stored data is not a multiple of the block size');
      }
      // Padding is checked here, not by OpenSSL, to tell its two failures apart as the reference does.
      const decipher = createDecipheriv(cipher, key, stored.subarray(0, BLOCK_BYTES)).setAutoPadding(false);
      return { data: withoutPadding(decipher.update(stored.subarray(BLOCK_BYTES))), stale: false };
    },
    transformToStorage(data: Buffer): Buffer {
      const paddingBytes = BLOCK_BYTES - (data.length % BLOCK_BYTES);
      const stored = Buffer.allocUnsafe(BLOCK_BYTES + data.length + paddingBytes);
      fillRandom(stored, 0, BLOCK_BYTES);
      const encryptor = createCipheriv(cipher, key, stored.subarray(0, BLOCK_BYTES));
      const written = encryptor.update(data).copy(stored, BLOCK_BYTES);
      encryptor.final().copy(stored, BLOCK_BYTES + written);
      return stored;
    },
  };
}

function withoutPadding(padded: Buffer): Buffer {
  const paddingBytes = padded[padded.length - 1] ?? 0;
  if (paddingBytes === 0 || paddingBytes > padded.length) {
    throw new EnvelopeError('decryption-failed', 'invalid PKCS7 data (empty or not padded)');
  }
  const end = padded.length - paddingBytes;
  // Every byte is looked at whatever the first ones say: the time must not tell how much of the padding was right.
  let difference = paddingBytes > BLOCK_BYTES ? 1 : 0;
  for (let i = end; i < padded.length; i++) difference |= (padded[i] as number) ^ paddingBytes;
  if (difference !== 0) throw new EnvelopeError('decryption-failed', 'invalid padding on input');
  return padded.subarray(0, end);
}
