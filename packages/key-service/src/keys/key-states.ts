/**
 * Which key state lets which operation through.
 *
 * Source of the rule: KMS Developer Guide, "Key states of AWS KMS keys", the table at its end.
 */
import { AwsError } from '../aws-error.js';
import { arnOf, type KeyRecord } from './key-record.js';

/**
 * - `any`: every state.
 * - `not-pending-deletion`: Enabled, Disabled and PendingImport.
 * - `usable`: Enabled and Disabled.
 * - `enabled`: Enabled only.
 * - `pending-deletion`: PendingDeletion and PendingReplicaDeletion (CancelKeyDeletion).
 */
export type KeyStateRule = 'any' | 'not-pending-deletion' | 'usable' | 'enabled' | 'pending-deletion';

/** @throws AwsError DisabledException, KMSInvalidStateException */
export function checkKeyState(key: KeyRecord, rule: KeyStateRule): void {
  const state = key.state.kind;
  switch (rule) {
    case 'any':
      return;
    case 'pending-deletion':
      if (state !== 'PendingDeletion' && state !== 'PendingReplicaDeletion') {
        throw invalidState(key, 'is not pending deletion.');
      }
      return;
    case 'enabled':
    case 'usable':
    case 'not-pending-deletion':
      if (state === 'PendingDeletion') throw invalidState(key, 'is pending deletion.');
      if (state === 'PendingReplicaDeletion') throw invalidState(key, 'is pending replica deletion.');
      if (state === 'PendingImport' && rule !== 'not-pending-deletion') {
        throw invalidState(key, 'is pending import.');
      }
      if (rule === 'enabled' && state === 'Disabled') {
        throw new AwsError('DisabledException', `${arnOf(key)} is disabled.`);
      }
  }
}

function invalidState(key: KeyRecord, what: string): AwsError {
  return new AwsError('KMSInvalidStateException', `${arnOf(key)} ${what}`);
}
