/** A key for aescbc, aesgcm or secretbox. Source of the size: Kubernetes' documentation asks for 32 bytes for each of them. */
import type { RandomBytes } from '@waxseal/envelope';

const KEY_BYTES = 32;

/** Base64, as the `secret` of an EncryptionConfiguration. */
export function generateKey(randomBytes: RandomBytes): string {
  const bytes = randomBytes(KEY_BYTES);
  const text = bytes.toString('base64');
  bytes.fill(0);
  return text;
}
