/** Encrypt, Decrypt, ReEncrypt. */
import { AwsError } from '../aws-error.js';
import { openBlob, readBlobHeader, sealBlob } from '../crypto/ciphertext-blob.js';
import { type EncryptionContext, encodeEncryptionContext } from '../crypto/encryption-context.js';
import { arnOf, currentMaterial, type KeyRecord } from '../keys/key-record.js';
import { isDue } from '../keys/lifecycle.js';
import { required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { type Call, noteMaterial } from './call.js';
import { openKey, useKey } from './key-access.js';
import {
  defineKeyOperation,
  defineSelfAuthorizingOperation,
  type KeyRule,
  refuseDryRun,
} from './operation.js';

/** Every cryptographic operation: any name, any account, Enabled keys only. */
export const CRYPTOGRAPHIC: KeyRule = { aliases: true, crossAccount: true, states: 'enabled' };

export interface SealedMessage {
  readonly blob: Buffer;
  readonly materialId: string;
}

/** Encrypts under the key's current material. */
export function sealMessage(
  call: Call,
  key: KeyRecord,
  plaintext: Buffer,
  context: EncryptionContext | undefined,
): SealedMessage {
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

export const encrypt = defineKeyOperation({
  name: 'Encrypt',
  action: 'kms:Encrypt',
  readOnly: true,
  key: CRYPTOGRAPHIC,
  input: {
    KeyId: required(shapes.keyId),
    Plaintext: required(shapes.plaintext),
    EncryptionContext: shapes.encryptionContext,
    GrantTokens: shapes.grantTokens,
    EncryptionAlgorithm: shapes.encryptionAlgorithm,
    DryRun: shapes.dryRun,
  },
  run(call, input, key) {
    checkAlgorithm(key, input.EncryptionAlgorithm);
    const { blob } = sealMessage(call, key, input.Plaintext, input.EncryptionContext);
    return {
      CiphertextBlob: blob.toString('base64'),
      EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      KeyId: arnOf(key),
    };
  },
});

export const decrypt = defineSelfAuthorizingOperation({
  name: 'Decrypt',
  authorizes: 'itself',
  readOnly: true,
  input: {
    CiphertextBlob: required(shapes.ciphertextBlob),
    EncryptionContext: shapes.encryptionContext,
    GrantTokens: shapes.grantTokens,
    KeyId: shapes.keyId,
    EncryptionAlgorithm: shapes.encryptionAlgorithm,
    Recipient: shapes.recipient,
    DryRun: shapes.dryRun,
  },
  check: ({ Recipient }) => refuseRecipient(Recipient),
  async run(call, input) {
    const opened = await openCiphertext(call, 'kms:Decrypt', {
      blob: input.CiphertextBlob,
      keyId: input.KeyId,
      context: input.EncryptionContext,
      algorithm: input.EncryptionAlgorithm,
    });
    refuseDryRun(input);
    noteMaterial(call, opened.materialId);
    const Plaintext = opened.plaintext.toString('base64');
    opened.plaintext.fill(0);
    return {
      EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      KeyId: arnOf(opened.key),
      KeyMaterialId: opened.materialId,
      Plaintext,
    };
  },
});

export const reEncrypt = defineSelfAuthorizingOperation({
  name: 'ReEncrypt',
  authorizes: 'itself',
  readOnly: true,
  input: {
    CiphertextBlob: required(shapes.ciphertextBlob),
    SourceEncryptionContext: shapes.encryptionContext,
    SourceKeyId: shapes.keyId,
    DestinationKeyId: required(shapes.keyId),
    DestinationEncryptionContext: shapes.encryptionContext,
    SourceEncryptionAlgorithm: shapes.encryptionAlgorithm,
    DestinationEncryptionAlgorithm: shapes.encryptionAlgorithm,
    GrantTokens: shapes.grantTokens,
    DryRun: shapes.dryRun,
  },
  async run(call, input) {
    const source = await openCiphertext(call, 'kms:ReEncryptFrom', {
      blob: input.CiphertextBlob,
      keyId: input.SourceKeyId,
      context: input.SourceEncryptionContext,
      algorithm: input.SourceEncryptionAlgorithm,
    });
    try {
      const key = await openKey(call, input.DestinationKeyId, 'kms:ReEncryptTo', CRYPTOGRAPHIC);
      checkAlgorithm(key, input.DestinationEncryptionAlgorithm);
      refuseDryRun(input);
      const sealed = sealMessage(call, key, source.plaintext, input.DestinationEncryptionContext);
      return {
        CiphertextBlob: sealed.blob.toString('base64'),
        DestinationEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
        DestinationKeyMaterialId: sealed.materialId,
        KeyId: arnOf(key),
        SourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
        SourceKeyId: arnOf(source.key),
        SourceKeyMaterialId: source.materialId,
      };
    } finally {
      source.plaintext.fill(0);
    }
  },
});

interface Ciphertext {
  readonly blob: Buffer;
  /** When the caller names the key, no other may be used. */
  readonly keyId: string | undefined;
  readonly context: EncryptionContext | undefined;
  readonly algorithm: string | undefined;
}

interface OpenedCiphertext {
  readonly key: KeyRecord;
  readonly materialId: string;
  readonly plaintext: Buffer;
}

/**
 * @throws AwsError InvalidCiphertextException for anything wrong with blob or context, without saying what;
 *   IncorrectKeyException when the caller named another key; those of openKey
 */
async function openCiphertext(call: Call, action: string, ciphertext: Ciphertext): Promise<OpenedCiphertext> {
  const { blob, keyId, context, algorithm } = ciphertext;
  const named = keyId === undefined ? undefined : await openKey(call, keyId, action, CRYPTOGRAPHIC);
  const header = readBlobHeader(blob);
  if (header === undefined) throw new AwsError('InvalidCiphertextException');
  if (named !== undefined && (named.keyId !== header.keyId || named.accountId !== header.accountId)) {
    throw new AwsError(
      'IncorrectKeyException',
      'The key ID in the request does not identify a CMK that can perform this operation.',
    );
  }
  const key = named ?? (await openNamedByBlob(call, action, header.accountId, header.keyId));
  checkAlgorithm(key, algorithm);
  const material = key.materials.find((one) => one.materialId === header.materialId);
  const plaintext =
    material && openBlob(call.services.vault.open(key, material), encodeEncryptionContext(context), blob);
  if (plaintext === undefined) throw new AwsError('InvalidCiphertextException');
  return { key, materialId: header.materialId, plaintext };
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
      'The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.',
    );
  }
  useKey(call, key, action, CRYPTOGRAPHIC);
  return key;
}

function checkAlgorithm(key: KeyRecord, algorithm: string | undefined): void {
  if (algorithm !== undefined && algorithm !== 'SYMMETRIC_DEFAULT') {
    throw new AwsError(
      'InvalidKeyUsageException',
      `Algorithm ${algorithm} is incompatible with key spec ${key.keySpec}.`,
    );
  }
}

/** Answers encrypted to a Nitro enclave need AWS's attestation; there are none here. */
export function refuseRecipient(recipient: unknown): void {
  if (recipient !== undefined) {
    throw new AwsError(
      'UnsupportedOperationException',
      'The Recipient parameter is not supported by this key service.',
    );
  }
}
