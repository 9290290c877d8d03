/**
 * Messages under a key's current material, and ciphertexts back to their key.
 *
 * A symmetric ciphertext names its key (crypto/ciphertext-blob.ts); an RSA ciphertext is bare OAEP, as every other implementation
 * makes and reads it, and names none.
 */
import { ABSENT_OR_DENIED } from '../access/authorizer.js';
import { AwsError } from '../aws-error.js';
import { openBlob, readBlobHeader, sealBlob } from '../crypto/ciphertext-blob.js';
import { type EncryptionContext, encodeEncryptionContext } from '../crypto/encryption-context.js';
import type { RsaKey } from '../crypto/private-key.js';
import { decryptOaep, encryptOaep, maxOaepPlaintextBytes } from '../crypto/rsa-oaep.js';
import { currentMaterial, type KeyRecord } from '../keys/key-record.js';
import type { EncryptionAlgorithm, RsaEncryptionAlgorithm } from '../keys/key-specs.js';
import { isDue } from '../keys/lifecycle.js';
import { checkAlgorithm } from './algorithms.js';
import { type Call, noteMaterial } from './call.js';
import { checkKeyUse, openKey, useKey } from './key-access.js';
import { openInToken, sealInToken } from './token-messages.js';
import { ENCRYPTION } from './key-rules.js';
import type { KeyRule } from './operation.js';

/** For a key named beside a ciphertext: whether it can be used is looked at when it is the ciphertext's key. */
const NAMED_BESIDE: KeyRule = { aliases: true, crossAccount: true, states: 'any' };

/** A key that only the ciphertext names is not named to a caller who may not use it. */
const AS_CIPHERTEXT = ' on the resource associated with this ciphertext';

/** What Encrypt and ReEncrypt give out. */
export interface EncryptedMessage {
  readonly blob: Buffer;
  /** Absent for RSA keys, whose ciphertexts name none. */
  readonly materialId?: string;
}

export interface SealedMessage extends EncryptedMessage {
  readonly materialId: string;
}

/**
 * Encrypts under the current material of a symmetric key: at once, or in the token of the key's custom key store.
 *
 * @throws AwsError for keys of custom key stores those of TokenKeys
 */
export function sealMessage(
  call: Call,
  key: KeyRecord,
  plaintext: Buffer,
  context: EncryptionContext | undefined,
): SealedMessage | Promise<SealedMessage> {
  if (key.customKeyStoreId !== undefined) return sealInToken(call, key, plaintext, context);
  const { vault, publicRandomBytes } = call.services;
  const material = currentMaterial(key);
  const name = { accountId: key.accountId, keyId: key.keyId, materialId: material.materialId };
  const blob = sealBlob(
    name,
    vault.open(key, material),
    encodeEncryptionContext(context),
    plaintext,
    publicRandomBytes,
  );
  noteMaterial(call, material.materialId);
  return { blob, materialId: material.materialId };
}

/** @throws AwsError ValidationException when an RSA key cannot take that much, or any context */
export function encryptMessage(
  call: Call,
  key: KeyRecord,
  algorithm: EncryptionAlgorithm,
  plaintext: Buffer,
  context: EncryptionContext | undefined,
): EncryptedMessage | Promise<EncryptedMessage> {
  if (algorithm === 'SYMMETRIC_DEFAULT') return sealMessage(call, key, plaintext, context);
  refuseContext(context);
  const rsaKey = openRsaKey(call, key);
  const maxBytes = maxOaepPlaintextBytes(rsaKey, algorithm);
  if (plaintext.length > maxBytes) {
    throw new AwsError(
      'ValidationException',
      `Algorithm ${algorithm} and key spec ${key.keySpec} cannot encrypt data larger than ${maxBytes} bytes.`,
    );
  }
  return { blob: encryptOaep(rsaKey, algorithm, plaintext) };
}

function openRsaKey(call: Call, key: KeyRecord): RsaKey {
  const opened = call.services.vault.openPrivateKey(key, currentMaterial(key));
  if (opened.kind !== 'rsa') throw new TypeError(`A key of spec ${key.keySpec} does not encrypt.`);
  return opened;
}

/** A context is bound to a ciphertext as additional data, which OAEP has no place for. */
function refuseContext(context: EncryptionContext | undefined): void {
  if (context !== undefined && Object.keys(context).length > 0) {
    throw new AwsError(
      'ValidationException',
      'EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.',
    );
  }
}

export interface Ciphertext {
  readonly blob: Buffer;
  /** When the caller names the key, no other may be used. */
  readonly keyId: string | undefined;
  readonly context: EncryptionContext | undefined;
  /** Undefined: SYMMETRIC_DEFAULT. */
  readonly algorithm: string | undefined;
}

export interface OpenedCiphertext {
  readonly key: KeyRecord;
  readonly algorithm: EncryptionAlgorithm;
  /** Absent for RSA keys. */
  readonly materialId?: string;
  readonly plaintext: Buffer;
}

/**
 * @throws AwsError InvalidCiphertextException for anything wrong with blob or context, without saying what;
 *   IncorrectKeyException when the caller named another key; those of openKey
 */
export function openCiphertext(
  call: Call,
  action: string,
  ciphertext: Ciphertext,
): Promise<OpenedCiphertext> {
  return ciphertext.algorithm === undefined || ciphertext.algorithm === 'SYMMETRIC_DEFAULT'
    ? openSymmetric(call, action, ciphertext)
    : openAsymmetric(call, action, ciphertext);
}

async function openSymmetric(call: Call, action: string, ciphertext: Ciphertext): Promise<OpenedCiphertext> {
  const { blob, keyId, context } = ciphertext;
  const named = keyId === undefined ? undefined : await openKey(call, keyId, action, NAMED_BESIDE);
  const header = readBlobHeader(blob);
  if (header === undefined) throw new AwsError('InvalidCiphertextException');
  if (named !== undefined && (named.keyId !== header.keyId || named.accountId !== header.accountId)) {
    throw new AwsError(
      'IncorrectKeyException',
      'The key ID in the request does not identify a CMK that can perform this operation.',
    );
  }
  const key = named ?? (await openNamedByBlob(call, action, header.accountId, header.keyId));
  checkKeyUse(call, key, action, ENCRYPTION);
  const material = key.materials.find((one) => one.materialId === header.materialId);
  const inToken = key.customKeyStoreId !== undefined;
  const plaintext =
    material === undefined || key.keySpec !== 'SYMMETRIC_DEFAULT' || header.inToken !== inToken
      ? undefined
      : inToken
        ? await openInToken(call, key, blob, context)
        : openBlob(call.services.vault.open(key, material), encodeEncryptionContext(context), blob);
  if (plaintext === undefined) throw new AwsError('InvalidCiphertextException');
  return { key, algorithm: 'SYMMETRIC_DEFAULT', materialId: header.materialId, plaintext };
}

/** An RSA ciphertext names no key: the caller must. */
async function openAsymmetric(call: Call, action: string, ciphertext: Ciphertext): Promise<OpenedCiphertext> {
  const { blob, keyId, context } = ciphertext;
  if (keyId === undefined) {
    throw new AwsError(
      'ValidationException',
      `The KeyId parameter is required when the encryption algorithm is ${ciphertext.algorithm}.`,
    );
  }
  const key = await openKey(call, keyId, action, ENCRYPTION);
  const algorithm = encryptionAlgorithmFor(key, ciphertext.algorithm) as RsaEncryptionAlgorithm;
  refuseContext(context);
  const plaintext = decryptOaep(openRsaKey(call, key), algorithm, blob);
  if (plaintext === undefined) throw new AwsError('InvalidCiphertextException');
  return { key, algorithm, plaintext };
}

async function openNamedByBlob(
  call: Call,
  action: string,
  accountId: string,
  keyId: string,
): Promise<KeyRecord> {
  const found = call.services.keys.findKey(accountId, call.region, keyId);
  const key = found && (isDue(found, call.nowMs) ? await call.services.lifecycle.settle(found) : found);
  if (key === undefined) {
    throw new AwsError(
      'AccessDeniedException',
      `User: ${call.principal.arn} is not authorized to perform: ${action}${AS_CIPHERTEXT} ${ABSENT_OR_DENIED}`,
    );
  }
  useKey(call, key, action, NAMED_BESIDE, AS_CIPHERTEXT);
  return key;
}

/** @throws AwsError InvalidKeyUsageException when keys of this spec do not encrypt so */
export function encryptionAlgorithmFor(key: KeyRecord, algorithm = 'SYMMETRIC_DEFAULT'): EncryptionAlgorithm {
  checkAlgorithm(key, 'ENCRYPT_DECRYPT', algorithm);
  return algorithm as EncryptionAlgorithm;
}
