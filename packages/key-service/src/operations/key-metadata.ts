/** KeyMetadata, as CreateKey and DescribeKey give it. Dates are seconds since the epoch with milliseconds, as in JSON 1.1. */
import { expirationOf, isPresent } from '../keys/import-material.js';
import { arnOf, currentMaterialId, type KeyRecord } from '../keys/key-record.js';
import { algorithmsOf } from '../keys/key-specs.js';
import { multiRegionConfiguration } from '../keys/multi-region.js';

export function epochSeconds(millis: number): number {
  return millis / 1000;
}

/** What is known of a key of a custom key store beside its record. */
export interface CustomKeyStoreFacts {
  readonly clusterId: string | undefined;
  readonly unavailable: boolean;
}

export function keyMetadata(
  key: KeyRecord,
  customKeyStore?: CustomKeyStoreFacts,
): Readonly<Record<string, unknown>> {
  const unavailable = customKeyStore?.unavailable === true;
  return {
    AWSAccountId: key.accountId,
    Arn: arnOf(key),
    ...(customKeyStore?.clusterId === undefined ? {} : { CloudHsmClusterId: customKeyStore.clusterId }),
    CreationDate: epochSeconds(key.creationDateMs),
    ...describeCurrentMaterial(key),
    ...(key.customKeyStoreId === undefined ? {} : { CustomKeyStoreId: key.customKeyStoreId }),
    CustomerMasterKeySpec: key.keySpec,
    ...(key.state.kind === 'PendingDeletion' ? { DeletionDate: epochSeconds(key.state.deletionDateMs) } : {}),
    Description: key.description,
    Enabled: key.state.kind === 'Enabled' && !unavailable,
    ...describeExpiration(key),
    KeyId: key.keyId,
    KeyManager: 'CUSTOMER',
    KeySpec: key.keySpec,
    KeyState: unavailable ? 'Unavailable' : key.state.kind,
    KeyUsage: key.keyUsage,
    MultiRegion: key.multiRegion !== undefined,
    ...(key.multiRegion === undefined
      ? {}
      : { MultiRegionConfiguration: multiRegionConfiguration(key, key.multiRegion) }),
    Origin: key.origin,
    ...algorithmsOf(key.keySpec, key.keyUsage),
    ...(key.state.kind === 'PendingReplicaDeletion'
      ? { PendingDeletionWindowInDays: key.state.windowDays }
      : {}),
  };
}

function describeCurrentMaterial(key: KeyRecord): Readonly<Record<string, unknown>> {
  // In a custom key store a key has one material for ever, and AWS does not name it here.
  const named = key.keySpec === 'SYMMETRIC_DEFAULT' && key.customKeyStoreId === undefined;
  const materialId = named ? currentMaterialId(key) : undefined;
  return materialId === undefined ? {} : { CurrentKeyMaterialId: materialId };
}

/** ExpirationModel and ValidTo of a key whose imported material is there. */
function describeExpiration(key: KeyRecord): Readonly<Record<string, unknown>> {
  if (key.origin !== 'EXTERNAL' || key.materials.length === 0 || !key.materials.every(isPresent)) return {};
  return describeValidity(expirationOf(key));
}

/** @param validToMs undefined: does not expire */
export function describeValidity(validToMs: number | undefined): Readonly<Record<string, unknown>> {
  return validToMs === undefined
    ? { ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE' }
    : { ExpirationModel: 'KEY_MATERIAL_EXPIRES', ValidTo: epochSeconds(validToMs) };
}
