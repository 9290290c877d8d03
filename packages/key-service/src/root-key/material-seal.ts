/**
 * Key material at rest: AES-256-GCM under the root key, bound to the key and the material it belongs to.
 *
 * sealed = nonce 12 ‖ ciphertext ‖ tag 16. The additional authenticated data names account, key and material, so a
 * sealed material moved to another record does not open. Nonces are random: one per material, far below the 2^32 of
 * NIST SP 800-38D §8.3. docs/formats/key-service-store.md.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What a sealed value belongs to, e.g. `material/123456789012/<key id>/<material id>`. */
export type SealLabel = string;

export function sealUnderRootKey(
  rootKey: Buffer,
  label: SealLabel,
  secret: Buffer,
  randomBytes: (size: number) => Buffer,
): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', rootKey, nonce);
  cipher.setAAD(Buffer.from(`waxseal/key-service/v1/${label}`));
  const ciphertext = cipher.update(secret);
  cipher.final();
  return Buffer.concat([nonce, ciphertext, cipher.getAuthTag()]);
}

/** Undefined when the root key, the label or any byte is not what sealUnderRootKey saw. */
export function openUnderRootKey(rootKey: Buffer, label: SealLabel, sealed: Buffer): Buffer | undefined {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const tagAt = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', rootKey, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(`waxseal/key-service/v1/${label}`));
  decipher.setAuthTag(sealed.subarray(tagAt));
  const secret = decipher.update(sealed.subarray(NONCE_BYTES, tagAt));
  try {
    decipher.final();
    return secret;
  } catch {
    secret.fill(0);
    return undefined;
  }
}

export function materialLabel(accountId: string, keyId: string, materialId: string): SealLabel {
  return `material/${accountId}/${keyId}/${materialId}`;
}
