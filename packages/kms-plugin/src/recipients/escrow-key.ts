/**
 * An escrow recipient: the public half of a key whose private half lies in a safe. This machine can wrap for it and can never unwrap.
 *
 * Two forms: an age X25519 recipient (age-encryption.org/v1), whose wrapping is a binary age file that `age -d` opens as well; and an RSA public key,
 * RSA-OAEP with SHA-256 for hash and mask and no label (RFC 8017 §7.1), which `openssl pkeyutl` opens.
 */
import { constants, createHash, createPublicKey, publicEncrypt, type KeyObject } from 'node:crypto';
import { KmsPluginError } from '../errors.js';
import type { RecipientWrapping } from './annotation.js';

/** Something that wraps for a private key it does not have. */
export interface EscrowKey {
  /** `age1…`, or `rsa:` and the first 16 hex digits of SHA-256 over the SubjectPublicKeyInfo. Public. */
  readonly keyId: string;
  /** @throws KmsPluginError `invalid_options` when the DEK source is longer than an RSA key of this size can wrap */
  wrap(dekSource: Buffer): Promise<RecipientWrapping>;
}

const ageRecipient = /^age1[02-9ac-hj-np-z]{58}$/;
const rsaLeastBits = 2048;
const rsaMostBits = 16_384;
/** Two hashes of 32 bytes and two bytes of its own (RFC 8017 §7.1.1). */
const oaepOverheadBytes = 66;

/**
 * @param text an age X25519 recipient (`age1…`), or an RSA public key as PEM
 * @throws KmsPluginError `invalid_options`
 */
export async function createEscrowKey(text: string): Promise<EscrowKey> {
  const trimmed = text.trim();
  if (/^AGE-SECRET-KEY-|-----BEGIN [A-Z ]*PRIVATE KEY-----/m.test(trimmed)) {
    throw new KmsPluginError(
      'invalid_options',
      'This is the private half of an escrow key. Give the public half, and keep the private one off this machine.',
    );
  }
  if (trimmed.startsWith('-----BEGIN ')) return createRsaEscrowKey(trimmed);
  return createAgeEscrowKey(trimmed);
}

async function createAgeEscrowKey(recipient: string): Promise<EscrowKey> {
  const invalid = (): KmsPluginError =>
    new KmsPluginError(
      'invalid_options',
      'An escrow key is an age X25519 recipient (age1…, made by age-keygen) or an RSA public key as PEM.',
    );
  if (!ageRecipient.test(recipient)) throw invalid();
  const { Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  try {
    // Verifies the checksum of the text.
    encrypter.addRecipient(recipient);
  } catch {
    throw invalid();
  }
  return {
    keyId: recipient,
    wrap: async (dekSource) => ({
      kind: 'age-x25519',
      keyId: recipient,
      ciphertext: Buffer.from(await encrypter.encrypt(dekSource)),
      annotations: {},
    }),
  };
}

function createRsaEscrowKey(pem: string): EscrowKey {
  const key = rsaPublicKey(pem);
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (key.asymmetricKeyType !== 'rsa' || bits < rsaLeastBits || bits > rsaMostBits) {
    throw new KmsPluginError(
      'invalid_options',
      `The escrow key must be an RSA key of ${rsaLeastBits} to ${rsaMostBits} bits.`,
    );
  }
  const mostBytes = Math.ceil(bits / 8) - oaepOverheadBytes;
  const keyId = rsaFingerprint(key);
  return {
    keyId,
    wrap: async (dekSource) => {
      if (dekSource.length > mostBytes) {
        throw new KmsPluginError(
          'invalid_options',
          `An RSA key of ${bits} bits wraps ${mostBytes} bytes and no more; take an age recipient instead.`,
        );
      }
      const padding = constants.RSA_PKCS1_OAEP_PADDING;
      const ciphertext = publicEncrypt({ key, padding, oaepHash: 'sha256' }, dekSource);
      return { kind: 'rsa-oaep-256', keyId, ciphertext, annotations: {} };
    },
  };
}

function rsaPublicKey(pem: string): KeyObject {
  try {
    return createPublicKey(pem);
  } catch (cause) {
    throw new KmsPluginError('invalid_options', 'The escrow key is no public key that can be read.', cause);
  }
}

/** @param key either half */
export function rsaFingerprint(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return `rsa:${createHash('sha256').update(spki).digest('hex').slice(0, 16)}`;
}
