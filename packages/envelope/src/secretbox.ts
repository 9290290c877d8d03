/**
 * secretbox: nonce (24 bytes) ‖ Poly1305 tag (16 bytes) ‖ XSalsa20 ciphertext; the storage key is not bound.
 *
 * Source of the rule: k8s.io/apiserver `storage/value/encrypt/secretbox`; NaCl `crypto_secretbox`. The bytes are
 * authenticated, their place is not: a value copied to another storage key opens there.
 */
import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';
import { EnvelopeError, tooShort } from './errors.js';
import { createRandomFill, type RandomBytes } from './randomness.js';
import type { Opened, Transformer } from './transformer.js';

const KEY_BYTES = 32;
const NONCE_BYTES = 24;
const TAG_BYTES = 16;

export interface SecretboxOptions {
  /** 32 bytes; copied, so the caller may wipe it. */
  readonly key: Buffer;
  readonly randomBytes: RandomBytes;
}

/** @throws EnvelopeError `invalid-key` */
export function createSecretboxTransformer(options: SecretboxOptions): Transformer {
  if (options.key.length !== KEY_BYTES) {
    throw new EnvelopeError(
      'invalid-key',
      `expected key size ${KEY_BYTES} for secretbox provider, got ${options.key.length}`,
    );
  }
  const key = Buffer.from(options.key);
  const fillRandom = createRandomFill(options.randomBytes);

  return {
    transformFromStorage(stored: Buffer): Opened {
      if (stored.length < NONCE_BYTES + TAG_BYTES) throw tooShort();
      const box = xsalsa20poly1305(key, stored.subarray(0, NONCE_BYTES));
      let opened: Uint8Array;
      try {
        opened = box.decrypt(stored.subarray(NONCE_BYTES));
      } catch {
        // Not what happened, but what the reference says when the tag does not verify.
        throw new EnvelopeError('decryption-failed', 'output array was not large enough for encryption');
      }
      return { data: Buffer.from(opened.buffer, opened.byteOffset, opened.byteLength), stale: false };
    },
    transformToStorage(data: Buffer): Buffer {
      const stored = Buffer.allocUnsafe(NONCE_BYTES + TAG_BYTES + data.length);
      fillRandom(stored, 0, NONCE_BYTES);
      stored.set(xsalsa20poly1305(key, stored.subarray(0, NONCE_BYTES)).encrypt(data), NONCE_BYTES);
      return stored;
    },
  };
}
