/** Encrypt, Decrypt, ReEncrypt: with symmetric keys, and with RSA keys by OAEP. */
import { AwsError } from '../aws-error.js';
import { arnOf } from '../keys/key-record.js';
import { list, memberMissing, required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { type Call, noteMaterial } from './call.js';
import { encryptionAlgorithmFor, encryptMessage, openCiphertext } from './ciphertexts.js';
import { openKey } from './key-access.js';
import { ENCRYPTION } from './key-rules.js';
import { defineKeyOperation, defineSelfAuthorizingOperation, refuseDryRun } from './operation.js';
import { whenDone } from './when-done.js';

export const encrypt = defineKeyOperation({
  name: 'Encrypt',
  action: 'kms:Encrypt',
  readOnly: true,
  key: ENCRYPTION,
  input: {
    KeyId: required(shapes.keyId),
    Plaintext: required(shapes.plaintext),
    EncryptionContext: shapes.encryptionContext,
    GrantTokens: shapes.grantTokens,
    EncryptionAlgorithm: shapes.encryptionAlgorithm,
    DryRun: shapes.dryRun,
  },
  checkKey: (input, key) => void encryptionAlgorithmFor(key, input.EncryptionAlgorithm),
  run(call, input, key) {
    const algorithm = encryptionAlgorithmFor(key, input.EncryptionAlgorithm);
    const encrypted = encryptMessage(call, key, algorithm, input.Plaintext, input.EncryptionContext);
    return whenDone(encrypted, ({ blob }) => ({
      CiphertextBlob: blob.toString('base64'),
      EncryptionAlgorithm: algorithm,
      KeyId: arnOf(key),
    }));
  },
});

export const decrypt = defineSelfAuthorizingOperation({
  name: 'Decrypt',
  authorizes: 'itself',
  readOnly: true,
  input: {
    CiphertextBlob: shapes.ciphertextBlob,
    EncryptionContext: shapes.encryptionContext,
    GrantTokens: shapes.grantTokens,
    KeyId: shapes.keyId,
    EncryptionAlgorithm: shapes.encryptionAlgorithm,
    Recipient: shapes.recipient,
    DryRun: shapes.dryRun,
    DryRunModifiers: list(shapes.dryRunModifier, 0, 1),
  },
  check(input) {
    checkCiphertextGiven(input, input.KeyId, 'keyId');
    refuseRecipient(input.Recipient);
  },
  async run(call, input) {
    if (input.CiphertextBlob === undefined || ignoresCiphertext(input)) {
      await openKey(call, input.KeyId ?? '', 'kms:Decrypt', ENCRYPTION);
      return refuseDryRun(input);
    }
    const opened = await openCiphertext(call, 'kms:Decrypt', {
      blob: input.CiphertextBlob,
      keyId: input.KeyId,
      context: input.EncryptionContext,
      algorithm: input.EncryptionAlgorithm,
    });
    try {
      refuseDryRun(input);
      if (opened.materialId !== undefined) noteMaterial(call, opened.materialId);
      return {
        EncryptionAlgorithm: opened.algorithm,
        KeyId: arnOf(opened.key),
        ...(opened.materialId === undefined ? {} : { KeyMaterialId: opened.materialId }),
        Plaintext: opened.plaintext.toString('base64'),
      };
    } finally {
      opened.plaintext.fill(0);
    }
  },
});

export const reEncrypt = defineSelfAuthorizingOperation({
  name: 'ReEncrypt',
  authorizes: 'itself',
  readOnly: true,
  input: {
    CiphertextBlob: shapes.ciphertextBlob,
    SourceEncryptionContext: shapes.encryptionContext,
    SourceKeyId: shapes.keyId,
    DestinationKeyId: required(shapes.keyId),
    DestinationEncryptionContext: shapes.encryptionContext,
    SourceEncryptionAlgorithm: shapes.encryptionAlgorithm,
    DestinationEncryptionAlgorithm: shapes.encryptionAlgorithm,
    GrantTokens: shapes.grantTokens,
    DryRun: shapes.dryRun,
    DryRunModifiers: list(shapes.dryRunModifier, 0, 1),
  },
  check: (input) => checkCiphertextGiven(input, input.SourceKeyId, 'sourceKeyId'),
  async run(call, input) {
    if (input.CiphertextBlob === undefined || ignoresCiphertext(input)) {
      await openKey(call, input.SourceKeyId ?? '', 'kms:ReEncryptFrom', ENCRYPTION);
      await openKey(call, input.DestinationKeyId, 'kms:ReEncryptTo', ENCRYPTION);
      return refuseDryRun(input);
    }
    const source = await openCiphertext(call, 'kms:ReEncryptFrom', {
      blob: input.CiphertextBlob,
      keyId: input.SourceKeyId,
      context: input.SourceEncryptionContext,
      algorithm: input.SourceEncryptionAlgorithm,
    });
    try {
      const key = await openKey(call, input.DestinationKeyId, 'kms:ReEncryptTo', ENCRYPTION);
      const algorithm = encryptionAlgorithmFor(key, input.DestinationEncryptionAlgorithm);
      refuseDryRun(input);
      const encrypting = encryptMessage(
        call,
        key,
        algorithm,
        source.plaintext,
        input.DestinationEncryptionContext,
      );
      const encrypted = encrypting instanceof Promise ? await encrypting : encrypting;
      noteBothMaterials(call, source.materialId, encrypted.materialId);
      return {
        CiphertextBlob: encrypted.blob.toString('base64'),
        DestinationEncryptionAlgorithm: algorithm,
        ...(encrypted.materialId === undefined ? {} : { DestinationKeyMaterialId: encrypted.materialId }),
        KeyId: arnOf(key),
        SourceEncryptionAlgorithm: source.algorithm,
        SourceKeyId: arnOf(source.key),
        ...(source.materialId === undefined ? {} : { SourceKeyMaterialId: source.materialId }),
      };
    } finally {
      source.plaintext.fill(0);
    }
  },
});

/** In place of the one that encrypting has noted. */
function noteBothMaterials(call: Call, source: string | undefined, destination: string | undefined): void {
  const { keyMaterialId: _, ...others } = call.eventData ?? {};
  call.eventData = {
    ...others,
    ...(destination === undefined ? {} : { destinationKeyMaterialId: destination }),
    ...(source === undefined ? {} : { sourceKeyMaterialId: source }),
  };
}

interface CiphertextRequest {
  readonly CiphertextBlob: Buffer | undefined;
  readonly DryRun: boolean | undefined;
  readonly DryRunModifiers: readonly string[] | undefined;
}

/** A dry run may ask for the permission alone. */
function ignoresCiphertext({ DryRun, DryRunModifiers }: CiphertextRequest): boolean {
  return DryRun === true && DryRunModifiers?.includes('IGNORE_CIPHERTEXT') === true;
}

/** Without a ciphertext to name the key, the request must. */
function checkCiphertextGiven(request: CiphertextRequest, keyId: string | undefined, path: string): void {
  if (!ignoresCiphertext(request)) {
    if (request.CiphertextBlob === undefined) throw memberMissing('ciphertextBlob');
  } else if (keyId === undefined) {
    throw memberMissing(path);
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
