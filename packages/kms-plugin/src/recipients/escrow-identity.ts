/**
 * The private half of an escrow key, brought back from its safe: opens what `escrow-key.ts` wrapped. Used by the recovery command alone; a plugin never
 * holds one.
 */
import { constants, createPrivateKey, privateDecrypt, type KeyObject } from 'node:crypto';
import { KmsPluginError } from '../errors.js';
import type { RecipientAnnotation, WrapKind } from './annotation.js';
import { rsaFingerprint } from './escrow-key.js';

export interface EscrowIdentity {
  readonly kind: WrapKind;
  /** As `EscrowKey.keyId`: which wrappings are for this identity. */
  readonly keyIds: readonly string[];
  /**
   * @returns the DEK source, in a Buffer of the caller's, who overwrites it
   * @throws KmsPluginError `recovery_failed` when this identity does not open it
   */
  unwrap(annotation: RecipientAnnotation): Promise<Buffer>;
}

const ageSecretLine = /^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}$/;

/**
 * @param text an age identity file (comments and `AGE-SECRET-KEY-1…` lines), or an RSA private key as PEM without a passphrase
 * @throws KmsPluginError `invalid_options`
 */
export async function parseEscrowIdentity(text: string): Promise<EscrowIdentity> {
  if (text.includes('-----BEGIN ')) return rsaIdentity(text);
  const lines = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (lines.length === 0 || !lines.every((line) => ageSecretLine.test(line))) {
    throw new KmsPluginError(
      'invalid_options',
      'The identity file holds neither age identities (AGE-SECRET-KEY-1…) nor an RSA private key as PEM.',
    );
  }
  return ageIdentity(lines);
}

async function ageIdentity(secrets: readonly string[]): Promise<EscrowIdentity> {
  const { Decrypter, identityToRecipient } = await import('age-encryption');
  const decrypter = new Decrypter();
  const keyIds: string[] = [];
  for (const secret of secrets) {
    try {
      decrypter.addIdentity(secret);
      keyIds.push(await identityToRecipient(secret));
    } catch {
      // Its message could quote the line.
      throw new KmsPluginError('invalid_options', 'A line of the age identity file is damaged.');
    }
  }
  return {
    kind: 'age-x25519',
    keyIds,
    unwrap: async ({ ciphertext }) => {
      try {
        return Buffer.from(await decrypter.decrypt(ciphertext));
      } catch (cause) {
        throw notOpened(cause);
      }
    },
  };
}

function rsaIdentity(pem: string): EscrowIdentity {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new KmsPluginError(
      'invalid_options',
      'The identity file is no RSA private key that can be read; take its passphrase off first.',
    );
  }
  if (key.asymmetricKeyType !== 'rsa') {
    throw new KmsPluginError('invalid_options', 'The identity file holds a private key that is not RSA.');
  }
  return {
    kind: 'rsa-oaep-256',
    keyIds: [rsaFingerprint(key)],
    unwrap: async ({ ciphertext }) => {
      const padding = constants.RSA_PKCS1_OAEP_PADDING;
      try {
        return privateDecrypt({ key, padding, oaepHash: 'sha256' }, ciphertext);
      } catch (cause) {
        throw notOpened(cause);
      }
    },
  };
}

function notOpened(cause: unknown): KmsPluginError {
  return new KmsPluginError(
    'recovery_failed',
    'This identity does not open what is wrapped for the recipient; it is damaged or for another key.',
    cause,
  );
}
