/** EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion. */
import { AwsError } from '../aws-error.js';
import { isWhole } from '../keys/import-material.js';
import { arnOf, type KeyRecord, type KeyState } from '../keys/key-record.js';
import { checkKeyState, type KeyStateRule } from '../keys/key-states.js';
import { DAY_MS } from '../keys/lifecycle.js';
import { hasReplicas } from '../keys/multi-region.js';
import { integer, required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import type { Call } from './call.js';
import { epochSeconds } from './key-metadata.js';
import { defineKeyOperation } from './operation.js';

const DEFAULT_WINDOW_DAYS = 30;
const MIN_WINDOW_DAYS = 7;
const MAX_WINDOW_DAYS = 30;

/** The rule is checked again on the record that is written: another call may have changed the state in between. */
function changeState(call: Call, key: KeyRecord, rule: KeyStateRule, state: KeyState): Promise<KeyRecord> {
  return call.services.keys.updateKey(key, (record) => {
    checkKeyState(record, rule);
    return { ...record, state };
  });
}

export const enableKey = defineKeyOperation({
  name: 'EnableKey',
  action: 'kms:EnableKey',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'usable' },
  input: { KeyId: required(shapes.keyId) },
  async run(call, _input, key) {
    await changeState(call, key, 'usable', { kind: 'Enabled' });
    return undefined;
  },
});

export const disableKey = defineKeyOperation({
  name: 'DisableKey',
  action: 'kms:DisableKey',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'usable' },
  input: { KeyId: required(shapes.keyId) },
  async run(call, _input, key) {
    await changeState(call, key, 'usable', { kind: 'Disabled' });
    return undefined;
  },
});

export const scheduleKeyDeletion = defineKeyOperation({
  name: 'ScheduleKeyDeletion',
  action: 'kms:ScheduleKeyDeletion',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'not-pending-deletion' },
  input: { KeyId: required(shapes.keyId), PendingWindowInDays: integer(1, 365) },
  check({ PendingWindowInDays = DEFAULT_WINDOW_DAYS }) {
    // The model lets 1..365 through; the service does not.
    if (PendingWindowInDays < MIN_WINDOW_DAYS || PendingWindowInDays > MAX_WINDOW_DAYS) {
      throw new AwsError(
        'ValidationException',
        `PendingWindowInDays must be between ${MIN_WINDOW_DAYS} and ${MAX_WINDOW_DAYS}`,
      );
    }
  },
  async run(call, { PendingWindowInDays = DEFAULT_WINDOW_DAYS }, key) {
    const deletionDateMs = call.nowMs + PendingWindowInDays * DAY_MS;
    const { state } = await call.services.keys.updateKey(key, (record) => {
      checkKeyState(record, 'not-pending-deletion');
      return {
        ...record,
        // A primary goes last: its waiting period begins when its last replica is gone (keys/multi-region.ts).
        state: hasReplicas(record)
          ? { kind: 'PendingReplicaDeletion', windowDays: PendingWindowInDays }
          : { kind: 'PendingDeletion', deletionDateMs },
      };
    });
    return {
      ...(state.kind === 'PendingDeletion' ? { DeletionDate: epochSeconds(state.deletionDateMs) } : {}),
      KeyId: arnOf(key),
      KeyState: state.kind,
      PendingWindowInDays,
    };
  },
});

export const cancelKeyDeletion = defineKeyOperation({
  name: 'CancelKeyDeletion',
  action: 'kms:CancelKeyDeletion',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'pending-deletion' },
  input: { KeyId: required(shapes.keyId) },
  async run(call, _input, key) {
    await call.services.keys.updateKey(key, (record) => {
      checkKeyState(record, 'pending-deletion');
      // Imported material may have been deleted or have expired while the key waited.
      return { ...record, state: { kind: isWhole(record) ? 'Disabled' : 'PendingImport' } };
    });
    return { KeyId: arnOf(key) };
  },
});
