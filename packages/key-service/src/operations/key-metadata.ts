/** KeyMetadata, as CreateKey and DescribeKey give it. Dates are seconds since the epoch with milliseconds, as in JSON 1.1. */
import { arnOf, currentMaterial, type KeyRecord } from '../keys/key-record.js';

export function epochSeconds(millis: number): number {
  return millis / 1000;
}

export function keyMetadata(key: KeyRecord): Readonly<Record<string, unknown>> {
  return {
    AWSAccountId: key.accountId,
    Arn: arnOf(key),
    CreationDate: epochSeconds(key.creationDateMs),
    CurrentKeyMaterialId: currentMaterial(key).materialId,
    CustomerMasterKeySpec: key.keySpec,
    ...(key.state.kind === 'PendingDeletion' ? { DeletionDate: epochSeconds(key.state.deletionDateMs) } : {}),
    Description: key.description,
    Enabled: key.state.kind === 'Enabled',
    EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
    KeyId: key.keyId,
    KeyManager: 'CUSTOMER',
    KeySpec: key.keySpec,
    KeyState: key.state.kind,
    KeyUsage: key.keyUsage,
    MultiRegion: false,
    Origin: key.origin,
  };
}
