/**
 * identity: the value lies in storage as it is.
 *
 * Source of the rule: k8s.io/apiserver `storage/value/encrypt/identity`. There is nothing that could tell changed
 * bytes from written ones, so this is the one provider beside aescbc that cannot detect corruption.
 */
import { EnvelopeError } from './errors.js';
import type { Opened, Transformer } from './transformer.js';

/** Reserved for encrypted values: JSON begins with `{`, Kubernetes protobuf with `k8s\0`. */
const ENCRYPTED_PREFIX = Buffer.from('k8s:enc:');

/**
 * Writes values unchanged; on read refuses one that begins with `k8s:enc:`, so that ciphertext is never served as an
 * object.
 */
export function createIdentityTransformer(): Transformer {
  return {
    transformFromStorage(stored: Buffer): Opened {
      if (stored.subarray(0, ENCRYPTED_PREFIX.length).equals(ENCRYPTED_PREFIX)) {
        throw new EnvelopeError('encrypted-data', 'identity transformer tried to read encrypted data');
      }
      return { data: stored, stale: false };
    },
    transformToStorage: (data: Buffer): Buffer => data,
  };
}
