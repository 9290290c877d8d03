/**
 * What DescribeKey says of a key, as a warning in time.
 *
 * Source: the AWS KMS Developer Guide, "Key states of AWS KMS keys", and the API reference of KeyMetadata.
 */
import type { ProviderError } from '../errors.js';
import type { KeyCondition, KeyState } from '../key-condition.js';
import type { AwsKeyMetadata } from './aws-kms-calls.js';

const states: Readonly<Record<string, KeyState>> = {
  Enabled: 'usable',
  Creating: 'usable',
  Updating: 'usable',
  Disabled: 'disabled',
  PendingDeletion: 'pending-deletion',
  PendingReplicaDeletion: 'pending-deletion',
  PendingImport: 'pending-import',
  // Of a custom key store that is not connected: it works again once that is.
  Unavailable: 'usable',
};

export function toKeyCondition(metadata: AwsKeyMetadata): KeyCondition {
  const { keyState, deletionDateMs, validToMs } = metadata;
  const state = states[keyState] ?? 'usable';
  const warnings: string[] = [];
  if (states[keyState] === undefined)
    warnings.push('The key service tells a key state this plugin does not know.');
  if (keyState === 'Unavailable') {
    warnings.push('The custom key store of the key is not connected; connect it in the key service.');
  }
  if (keyState === 'PendingReplicaDeletion') {
    const window = metadata.pendingDeletionWindowInDays;
    warnings.push(
      `The key waits for its replicas to be deleted, and is deleted ${window === undefined ? 'a waiting period' : `${window} days`} after the last of them.`,
    );
  }
  if (state === 'pending-deletion' && metadata.multiRegion) {
    warnings.push(
      'The key is one of a multi-Region set; related keys in other Regions can still open its ciphertexts.',
    );
  }
  const dates = [deletionDateMs, validToMs].filter((date) => date !== undefined);
  return { state, warnings, ...(dates.length === 0 ? {} : { unreadableFromMs: Math.min(...dates) }) };
}

/**
 * Some refusals are an answer: the key is not there, or the plugin may use it and may not look at it.
 *
 * @returns undefined for a failure that says nothing of the key
 */
export function conditionWithoutAsking({ reason, failure }: ProviderError): KeyCondition | undefined {
  if (reason === 'NotFoundException') return { state: 'gone', warnings: [] };
  if (failure.code !== 'permission_denied') return undefined;
  return {
    state: 'usable',
    warnings: [
      'The plugin may not ask for the state of the key; allow kms:DescribeKey to be warned before it is deleted.',
    ],
  };
}
