/** How a key of a token wraps a message key, as data: which mechanism takes which key, and what its result looks like. */
import type { CipherMechanism, Token, TokenKey } from '@waxseal/pkcs11';

export type Pkcs11Mechanism =
  'rsa-oaep-sha256' | 'rsa-oaep-sha1' | 'aes-gcm' | 'aes-key-wrap' | 'aes-key-wrap-pad';

interface WrapMechanism {
  /** In the ciphertext. Any two differ in two bits at least: one that is flipped names no mechanism. */
  readonly number: number;
  readonly keyType: 'rsa' | 'aes';
  /** What a wrapped key of 32 bytes is long; undefined: as long as the modulus. */
  readonly wrappedBytes: number | undefined;
}

const gcmIvBytes = 12;
const gcmTagBytes = 16;

export const wrapMechanisms: Readonly<Record<Pkcs11Mechanism, WrapMechanism>> = {
  'rsa-oaep-sha256': { number: 0x03, keyType: 'rsa', wrappedBytes: undefined },
  'rsa-oaep-sha1': { number: 0x05, keyType: 'rsa', wrappedBytes: undefined },
  'aes-gcm': { number: 0x06, keyType: 'aes', wrappedBytes: gcmIvBytes + 32 + gcmTagBytes },
  'aes-key-wrap': { number: 0x09, keyType: 'aes', wrappedBytes: 40 },
  'aes-key-wrap-pad': { number: 0x0a, keyType: 'aes', wrappedBytes: 40 },
};

export const pkcs11Mechanisms = Object.keys(wrapMechanisms) as readonly Pkcs11Mechanism[];

/** One key of the label. */
export interface WrapKey {
  readonly mechanism: Pkcs11Mechanism;
  /** CKA_ID */
  readonly id: Buffer;
  /** The secret or the private key. */
  readonly unwraps: TokenKey;
  /** The secret key again, or the public one. */
  readonly wraps: TokenKey;
}

/** @throws Pkcs11Error */
export async function wrapOnToken(
  token: Token,
  { mechanism, wraps }: Pick<WrapKey, 'mechanism' | 'wraps'>,
  messageKey: Buffer,
  aad: Buffer,
  randomBytes: (sizeBytes: number) => Buffer,
): Promise<Buffer> {
  const iv = mechanism === 'aes-gcm' ? randomBytes(gcmIvBytes) : Buffer.alloc(0);
  return Buffer.concat([iv, await token.encrypt(wraps, cipherOf(mechanism, iv, aad), messageKey)]);
}

/** @throws Pkcs11Error */
export function unwrapOnToken(
  token: Token,
  { mechanism, unwraps }: Pick<WrapKey, 'mechanism' | 'unwraps'>,
  wrapped: Buffer,
  aad: Buffer,
): Promise<Buffer> {
  const ivBytes = mechanism === 'aes-gcm' ? gcmIvBytes : 0;
  const cipher = cipherOf(mechanism, wrapped.subarray(0, ivBytes), aad);
  return token.decrypt(unwraps, cipher, wrapped.subarray(ivBytes));
}

function cipherOf(mechanism: Pkcs11Mechanism, iv: Buffer, aad: Buffer): CipherMechanism {
  switch (mechanism) {
    case 'rsa-oaep-sha256':
      return { kind: 'rsa-pkcs-oaep', hash: 'sha256' };
    case 'rsa-oaep-sha1':
      return { kind: 'rsa-pkcs-oaep', hash: 'sha1' };
    case 'aes-gcm':
      return { kind: 'aes-gcm', iv, aad };
    default:
      return { kind: mechanism };
  }
}
