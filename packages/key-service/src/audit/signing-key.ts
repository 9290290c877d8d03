/**
 * The key that signs digest files: RSA 2048, kept in the store sealed by the root key, made when first needed.
 *
 * CloudTrail signs its digests with SHA256withRSA (CloudTrail User Guide, "CloudTrail digest file structure"), so do we.
 * The public half is written beside the audit log, for whoever verifies it elsewhere.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { promisify } from 'node:util';
import type { Store } from '@waxseal/storage';
import { KeyServiceError } from '../errors.js';
import { AUDIT_SIGNING_KEY } from '../keys/store-keys.js';
import { openUnderRootKey, sealUnderRootKey } from '../root-key/material-seal.js';
import { parseObject, sha256Hex } from './chain.js';

export const SIGNATURE_ALGORITHM = 'SHA256withRSA';
const SEAL_LABEL = 'audit-signing-key';
const MODULUS_BITS = 2048;

export interface AuditSigner {
  readonly fingerprint: string;
  /** PEM, SPKI. */
  readonly publicKeyPem: string;
  /** Hexadecimal. */
  sign(text: string): string;
}

/** Makes the key of a fresh store. */
export type GenerateSigningKey = () => Promise<KeyObject>;

export async function generateSigningKey(): Promise<KeyObject> {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: MODULUS_BITS });
  return privateKey;
}

/**
 * The signer of this store, its key made if there is none.
 *
 * @param rootKey seals the key at rest
 * @throws KeyServiceError store-corrupt; StoreError
 */
export async function openAuditSigner(
  store: Store,
  rootKey: Buffer,
  randomBytes: (size: number) => Buffer,
  generate: GenerateSigningKey = generateSigningKey,
): Promise<AuditSigner> {
  const { kv } = await store.get(AUDIT_SIGNING_KEY);
  if (kv !== undefined) return signerOf(readSealed(kv.value, rootKey));
  const privateKey = await generate();
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
  const sealed = sealUnderRootKey(rootKey, SEAL_LABEL, pkcs8, randomBytes).toString('base64');
  pkcs8.fill(0);
  const signer = signerOf(privateKey);
  const value = Buffer.from(JSON.stringify({ version: 1, publicKey: signer.publicKeyPem, sealed }));
  const { succeeded } = await store.txn({
    compare: [{ key: AUDIT_SIGNING_KEY, target: 'createRevision', result: 'equal', number: 0 }],
    success: [{ kind: 'put', key: AUDIT_SIGNING_KEY, value }],
    failure: [],
  });
  // Another replica was first: its key counts.
  return succeeded ? signer : openAuditSigner(store, rootKey, randomBytes, generate);
}

function readSealed(value: Buffer, rootKey: Buffer): KeyObject {
  const record = parseObject(value.toString('utf8'));
  const sealed = record?.['sealed'];
  const pkcs8 =
    typeof sealed === 'string'
      ? openUnderRootKey(rootKey, SEAL_LABEL, Buffer.from(sealed, 'base64'))
      : undefined;
  if (pkcs8 === undefined) {
    throw new KeyServiceError(
      'store-corrupt',
      'The audit signing key in the store cannot be read. Restore the store from a backup.',
    );
  }
  try {
    return createPrivateKey({ key: pkcs8, type: 'pkcs8', format: 'der' });
  } finally {
    pkcs8.fill(0);
  }
}

export function signerOf(privateKey: KeyObject): AuditSigner {
  const publicKey = createPublicKey(privateKey);
  return {
    fingerprint: fingerprintOf(publicKey),
    publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    sign: (text) => sign('sha256', Buffer.from(text), privateKey).toString('hex'),
  };
}

/** 32 hexadecimal digits, as long as CloudTrail's: the start of the SHA-256 of the SPKI. */
export function fingerprintOf(publicKey: KeyObject): string {
  return sha256Hex(publicKey.export({ type: 'spki', format: 'der' })).slice(0, 32);
}

/** @param signature hexadecimal; anything else does not verify */
export function verifySignature(publicKey: KeyObject, text: string, signature: string): boolean {
  return (
    /^(?:[0-9a-f]{2})+$/.test(signature) &&
    verify('sha256', Buffer.from(text), publicKey, Buffer.from(signature, 'hex'))
  );
}
