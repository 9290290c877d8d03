/** CreateKey in a custom key store: what such a key may be, and its making. */
import { AwsError } from '../aws-error.js';
import { MATERIAL_ID_BYTES } from '../crypto/ciphertext-blob.js';
import type { KeyRecord } from '../keys/key-record.js';
import { type Call, noteEventData } from './call.js';

interface CreateKeyRequest {
  readonly Origin: string | undefined;
  readonly CustomKeyStoreId: string | undefined;
  readonly XksKeyId: string | undefined;
  readonly MultiRegion: boolean | undefined;
}

/**
 * @param spec SYMMETRIC_DEFAULT is the only one such keys have
 * @throws AwsError ValidationException, UnsupportedOperationException
 */
export function checkCustomKeyStoreRequest(input: CreateKeyRequest, spec: string): void {
  const { Origin, CustomKeyStoreId, XksKeyId, MultiRegion } = input;
  if (Origin === 'EXTERNAL_KEY_STORE' || XksKeyId !== undefined) {
    throw new AwsError(
      'UnsupportedOperationException',
      'External key stores (Origin EXTERNAL_KEY_STORE, XksKeyId) are not supported by this key service.',
    );
  }
  if (Origin !== 'AWS_CLOUDHSM') {
    if (CustomKeyStoreId === undefined) return;
    throw new AwsError(
      'ValidationException',
      `CustomKeyStoreId is not valid with Origin ${Origin ?? 'AWS_KMS'}. Use Origin AWS_CLOUDHSM.`,
    );
  }
  if (CustomKeyStoreId === undefined) {
    throw new AwsError('ValidationException', 'CustomKeyStoreId is required with Origin AWS_CLOUDHSM.');
  }
  if (spec !== 'SYMMETRIC_DEFAULT') {
    throw new AwsError(
      'UnsupportedOperationException',
      `KeySpec ${spec} is not supported in a custom key store. Use SYMMETRIC_DEFAULT.`,
    );
  }
  if (MultiRegion === true) {
    throw new AwsError(
      'UnsupportedOperationException',
      'Multi-Region keys are not supported in a custom key store.',
    );
  }
}

/**
 * Makes the key in the token, and then its record.
 *
 * @param save stores the record
 * @throws AwsError those of TokenKeys.create
 */
export async function createInToken(
  call: Call,
  draft: KeyRecord,
  customKeyStoreId: string,
  save: (record: KeyRecord) => Promise<void>,
): Promise<KeyRecord> {
  const { randomBytes, tokenKeys } = call.services;
  const materialId = randomBytes(MATERIAL_ID_BYTES).toString('hex');
  const record: KeyRecord = {
    ...draft,
    origin: 'AWS_CLOUDHSM',
    customKeyStoreId,
    materials: [{ materialId }],
  };
  // As AWS records it, so that the key can be found in the token's own log.
  noteEventData(call, { backingKey: JSON.stringify({ backingKeyId: materialId }) });
  const { accountId, region, keyId } = record;
  await tokenKeys.create({ accountId, region, keyId, customKeyStoreId }, () => save(record));
  return record;
}
