/**
 * The ciphertext of aws-encryption-provider, byte for byte: ASCII `1` ‖ CiphertextBlob.
 * docs/formats/aws-plugin-ciphertext.md says more.
 */
import { ProviderError, unopenable } from '../errors.js';

const prefix = Buffer.from('1');

export function addPrefix(ciphertextBlob: Uint8Array): Buffer {
  return Buffer.concat([prefix, ciphertextBlob]);
}

/**
 * @param version v1 also reads what was written before there was a prefix
 * @throws ProviderError class `corrupt`
 */
export function removePrefix(ciphertext: Buffer, version: 'v1' | 'v2'): Buffer {
  const prefixed = ciphertext[0] === prefix[0];
  if (!prefixed && version === 'v2') throw new ProviderError('ciphertext without its prefix', unopenable);
  const blob = prefixed ? ciphertext.subarray(prefix.length) : ciphertext;
  if (blob.length === 0) throw new ProviderError('empty ciphertext', unopenable);
  return blob;
}

/** As removePrefix; false where it would throw. */
export function hasBlob(ciphertext: Buffer, version: 'v1' | 'v2'): boolean {
  const prefixed = ciphertext[0] === prefix[0];
  return prefixed ? ciphertext.length > prefix.length : version === 'v1' && ciphertext.length > 0;
}
