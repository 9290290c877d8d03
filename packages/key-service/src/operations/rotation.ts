/** EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, RotateKeyOnDemand, ListKeyRotations. */
import { AwsError } from '../aws-error.js';
import { arnOf, currentMaterial, type KeyMaterial, type KeyRecord } from '../keys/key-record.js';
import { checkKeyState } from '../keys/key-states.js';
import { DAY_MS } from '../keys/lifecycle.js';
import { enumeration, integer, required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { epochSeconds } from './key-metadata.js';
import { defineKeyOperation } from './operation.js';
import { pageOf } from './pages.js';

const DEFAULT_PERIOD_DAYS = 365;

/** KMS quota: on-demand rotations over the life of a key. */
const MAX_ON_DEMAND_ROTATIONS = 25;

export const enableKeyRotation = defineKeyOperation({
  name: 'EnableKeyRotation',
  action: 'kms:EnableKeyRotation',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'enabled' },
  input: { KeyId: required(shapes.keyId), RotationPeriodInDays: integer(90, 2560) },
  async run(call, input, key) {
    await call.services.keys.updateKey(key, (record) => {
      checkKeyState(record, 'enabled');
      const periodDays = input.RotationPeriodInDays ?? record.rotation?.periodDays ?? DEFAULT_PERIOD_DAYS;
      // Enabling what is enabled with the same period does not put the next rotation off.
      if (record.rotation?.periodDays === periodDays) return record;
      return { ...record, rotation: { periodDays, nextDateMs: call.nowMs + periodDays * DAY_MS } };
    });
    return undefined;
  },
});

export const disableKeyRotation = defineKeyOperation({
  name: 'DisableKeyRotation',
  action: 'kms:DisableKeyRotation',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'enabled' },
  input: { KeyId: required(shapes.keyId) },
  async run(call, _input, key) {
    await call.services.keys.updateKey(key, (record) => {
      checkKeyState(record, 'enabled');
      const { rotation: _, ...rest } = record;
      return record.rotation === undefined ? record : rest;
    });
    return undefined;
  },
});

export const getKeyRotationStatus = defineKeyOperation({
  name: 'GetKeyRotationStatus',
  action: 'kms:GetKeyRotationStatus',
  readOnly: true,
  key: { aliases: false, crossAccount: true, states: 'any' },
  input: { KeyId: required(shapes.keyId) },
  run(_call, _input, { keyId, rotation, state }) {
    const enabled = rotation !== undefined && state.kind !== 'PendingDeletion';
    return {
      KeyId: keyId,
      KeyRotationEnabled: enabled,
      ...(enabled
        ? { NextRotationDate: epochSeconds(rotation.nextDateMs), RotationPeriodInDays: rotation.periodDays }
        : {}),
    };
  },
});

export const rotateKeyOnDemand = defineKeyOperation({
  name: 'RotateKeyOnDemand',
  action: 'kms:RotateKeyOnDemand',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'enabled' },
  input: { KeyId: required(shapes.keyId) },
  async run(call, _input, key) {
    const { keys, vault } = call.services;
    const material = vault.create(key.accountId, key.keyId, { dateMs: call.nowMs, type: 'ON_DEMAND' });
    await keys.updateKey(key, (record) => {
      checkKeyState(record, 'enabled');
      const done = record.materials.filter(({ rotation }) => rotation?.type === 'ON_DEMAND').length;
      if (done >= MAX_ON_DEMAND_ROTATIONS) {
        throw new AwsError(
          'LimitExceededException',
          `The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: ${arnOf(record)}`,
        );
      }
      return { ...record, materials: [...record.materials, material] };
    });
    return { KeyId: key.keyId };
  },
});

export const listKeyRotations = defineKeyOperation({
  name: 'ListKeyRotations',
  action: 'kms:ListKeyRotations',
  readOnly: true,
  key: { aliases: false, crossAccount: true, states: 'any' },
  input: {
    KeyId: required(shapes.keyId),
    IncludeKeyMaterial: enumeration(['ALL_KEY_MATERIAL', 'ROTATIONS_ONLY']),
    Limit: shapes.limit,
    Marker: shapes.marker,
  },
  run(_call, input, key) {
    const all = input.IncludeKeyMaterial === 'ALL_KEY_MATERIAL';
    const materials = all ? key.materials : key.materials.filter(({ rotation }) => rotation !== undefined);
    const { items, tail } = pageOf(
      'ListKeyRotations',
      input,
      { defaultSize: 100, maxSize: 1000 },
      materials,
      ({ materialId }) => materialId,
    );
    return { Rotations: items.map((material) => describeRotation(key, material)), ...tail };
  },
});

function describeRotation(
  key: KeyRecord,
  { materialId, rotation }: KeyMaterial,
): Readonly<Record<string, unknown>> {
  return {
    KeyId: key.keyId,
    KeyMaterialId: materialId,
    KeyMaterialState: materialId === currentMaterial(key).materialId ? 'CURRENT' : 'NON_CURRENT',
    ...(rotation === undefined
      ? {}
      : { RotationDate: epochSeconds(rotation.dateMs), RotationType: rotation.type }),
  };
}
