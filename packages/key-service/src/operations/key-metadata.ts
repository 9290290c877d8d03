/** KeyMetadata, as CreateKey and DescribeKey give it. Dates are seconds since the epoch with milliseconds, as in JSON 1.1. */
import { expirationOf, isPresent } from '../keys/import-material.js';
import { arnOf, currentMaterialId, type KeyRecord } from '../keys/key-record.js';
import { algorithmsOf } from '../keys/key-specs.js';
import { multiRegionConfiguration } from '../keys/multi-region.js';

export function epochSeconds(millis: number): number {
  return millis / 1000;
}

export function keyMetadata(key: KeyRecord): Readonly<Record<string, unknown>> {
  return {
    AWSAccountId: key.accountId,
    Arn: arnOf(key),
    CreationDate: epochSeconds(key.creationDateMs),
    ...describeCurrentMaterial(key),
    CustomerMasterKeySpec: key.keySpec,
    ...(key.state.kind === 'PendingDeletion' ? { DeletionDate: epochSeconds(key.state.deletionDateMs) } : {}),
    Description: key.description,
    Enabled: key.state.kind === 'Enabled',
    ...describeExpiration(key),
    KeyId: key.keyId,
    KeyManager: 'CUSTOMER',
    KeySpec: key.keySpec,
    KeyState: key.state.kind,
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
  const materialId = key.keySpec === 'SYMMETRIC_DEFAULT' ? currentMaterialId(key) : undefined;
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
