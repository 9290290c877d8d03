/**
 * CiphertextBlob of a key in a custom key store: the same header as that of other keys (ciphertext-blob.ts) without the salt, because
 * AES-GCM is done in the token under the key itself, with a random nonce of 96 bits (NIST SP 800-38D §8.2.2: up to 2^32 messages
 * under one key). Every byte: docs/formats/key-service-ciphertext-blob.md.
 */
import {
  authenticatedData,
  type BackingKeyName,
  NAME_BYTES,
  NONCE_BYTES,
  TOKEN_FORMAT_VERSION,
  writeName,
} from './ciphertext-blob.js';

const HEADER_BYTES = NAME_BYTES + NONCE_BYTES;

/** What the token needs beside the text. */
export interface TokenCipherInput {
  readonly header: Buffer;
  readonly iv: Buffer;
  readonly aad: Buffer;
}

/**
 * A new header. The blob is the header ‖ what the token makes of the plaintext: ciphertext ‖ tag 16.
 *
 * @param context the encoded encryption context
 */
export function startTokenBlob(
  name: BackingKeyName,
  context: Buffer,
  randomBytes: (size: number) => Buffer,
): TokenCipherInput {
  const header = Buffer.alloc(HEADER_BYTES);
  writeName(header, TOKEN_FORMAT_VERSION, name);
  randomBytes(NONCE_BYTES).copy(header, NAME_BYTES);
  return inputOf(header, context);
}

/** @param blob whose header readBlobHeader has read: it is long enough */
export function splitTokenBlob(
  blob: Buffer,
  context: Buffer,
): TokenCipherInput & { readonly ciphertext: Buffer } {
  return {
    ...inputOf(blob.subarray(0, HEADER_BYTES), context),
    ciphertext: blob.subarray(HEADER_BYTES),
  };
}

function inputOf(header: Buffer, context: Buffer): TokenCipherInput {
  return { header, iv: header.subarray(NAME_BYTES), aad: authenticatedData(header, context) };
}
