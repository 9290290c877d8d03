/**
 * Which key state lets which operation through.
 *
 * Source of the rule: KMS Developer Guide, "Key states of AWS KMS keys", the table at its end.
 */
import { AwsError } from '../aws-error.js';
import { arnOf, type KeyRecord } from './key-record.js';

/**
 * - `any`: every state.
 * - `not-pending-deletion`: Enabled and Disabled.
 * - `enabled`: Enabled only.
 * - `pending-deletion`: PendingDeletion only (CancelKeyDeletion).
 */
export type KeyStateRule = 'any' | 'not-pending-deletion' | 'enabled' | 'pending-deletion';

/** @throws AwsError DisabledException, KMSInvalidStateException */
export function checkKeyState(key: KeyRecord, rule: KeyStateRule): void {
  const state = key.state.kind;
  switch (rule) {
    case 'any':
      return;
    case 'pending-deletion':
      if (state !== 'PendingDeletion') throw invalidState(key, 'is not pending deletion.');
      return;
    case 'enabled':
    case 'not-pending-deletion':
      if (state === 'PendingDeletion') throw invalidState(key, 'is pending deletion.');
      if (rule === 'enabled' && state === 'Disabled') {
        throw new AwsError('DisabledException', `${arnOf(key)} is disabled.`);
      }
  }
}

function invalidState(key: KeyRecord, what: string): AwsError {
  return new AwsError('KMSInvalidStateException', `${arnOf(key)} ${what}`);
}
