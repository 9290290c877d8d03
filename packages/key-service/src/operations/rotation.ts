/** EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, RotateKeyOnDemand, ListKeyRotations. */
import { AwsError } from '../aws-error.js';
import {
  allMaterials,
  arnOf,
  currentMaterialId,
  type KeyMaterial,
  type KeyRecord,
} from '../keys/key-record.js';
import { rotationOf, synchronizationOf } from '../keys/key-events.js';
import { checkKeyState } from '../keys/key-states.js';
import { DAY_MS } from '../keys/lifecycle.js';
import { hasReplicas, isReplica } from '../keys/multi-region.js';
import { enumeration, integer, required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { noteServiceEvents } from './call.js';
import { describeValidity, epochSeconds } from './key-metadata.js';
import { defineKeyOperation } from './operation.js';
import { pageOf } from './pages.js';

const DEFAULT_PERIOD_DAYS = 365;

/** KMS quota: on-demand rotations over the life of a key. */
const MAX_ON_DEMAND_ROTATIONS = 25;

export const enableKeyRotation = defineKeyOperation({
  name: 'EnableKeyRotation',
  action: 'kms:EnableKeyRotation',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'any' },
  input: { KeyId: required(shapes.keyId), RotationPeriodInDays: integer(90, 2560) },
  async run(call, input, key) {
    // The order in which AWS finds fault: origin, state, spec.
    checkOrigin(key);
    checkKeyState(key, 'enabled');
    checkSymmetric(key);
    await call.services.keys.updateFamily(key, (family) => {
      const [own = key] = family;
      checkKeyState(own, 'enabled');
      checkPrimary(own);
      const periodDays = input.RotationPeriodInDays ?? own.rotation?.periodDays ?? DEFAULT_PERIOD_DAYS;
      // Enabling what is enabled with the same period does not put the next rotation off.
      if (own.rotation?.periodDays === periodDays) return family;
      const rotation = { periodDays, nextDateMs: call.nowMs + periodDays * DAY_MS };
      return family.map((record) => ({ ...record, rotation }));
    });
    if (hasReplicas(key)) noteServiceEvents(call, [synchronizationOf(key)]);
    return undefined;
  },
});

export const disableKeyRotation = defineKeyOperation({
  name: 'DisableKeyRotation',
  action: 'kms:DisableKeyRotation',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'any' },
  input: { KeyId: required(shapes.keyId) },
  async run(call, _input, key) {
    checkOrigin(key);
    checkKeyState(key, 'enabled');
    // What no other spec can turn on is off there, and AWS lets it be turned off.
    await call.services.keys.updateFamily(key, (family) => {
      const [own = key] = family;
      checkKeyState(own, 'enabled');
      checkPrimary(own);
      return own.rotation === undefined ? family : family.map(withoutRotation);
    });
    if (hasReplicas(key)) noteServiceEvents(call, [synchronizationOf(key)]);
    return undefined;
  },
});

function withoutRotation(key: KeyRecord): KeyRecord {
  const { rotation: _, ...rest } = key;
  return rest;
}

export const getKeyRotationStatus = defineKeyOperation({
  name: 'GetKeyRotationStatus',
  action: 'kms:GetKeyRotationStatus',
  readOnly: true,
  key: { aliases: false, crossAccount: true, states: 'any' },
  input: { KeyId: required(shapes.keyId) },
  run(_call, _input, key) {
    const { keyId, rotation, state } = key;
    if (key.keySpec === 'SYMMETRIC_DEFAULT') checkOrigin(key);
    const waits = state.kind === 'PendingDeletion' || state.kind === 'PendingReplicaDeletion';
    const enabled = rotation !== undefined && !waits;
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
    checkSymmetric(key);
    if (key.origin === 'AWS_CLOUDHSM') checkOrigin(key);
    const { keys, vault } = call.services;
    const rotation = { dateMs: call.nowMs, type: 'ON_DEMAND' } as const;
    const created = key.origin === 'EXTERNAL' ? undefined : vault.create(key.accountId, key.keyId, rotation);
    const [rotated = key] = await keys.updateFamily(key, (family) => {
      const [own = key] = family;
      checkKeyState(own, 'enabled');
      checkPrimary(own);
      checkRotationsLeft(own);
      if (created !== undefined) {
        return family.map((record) => ({ ...record, materials: [...record.materials, created] }));
      }
      checkPendingRotation(own, family);
      return family.map(({ pendingMaterial, ...rest }) =>
        pendingMaterial === undefined
          ? rest
          : { ...rest, materials: [...rest.materials, { ...pendingMaterial, rotation }] },
      );
    });
    noteServiceEvents(call, rotationOf(key, rotated));
    return { KeyId: arnOf(key) };
  },
});

function checkRotationsLeft(key: KeyRecord): void {
  const done = key.materials.filter(({ rotation }) => rotation?.type === 'ON_DEMAND').length;
  if (done < MAX_ON_DEMAND_ROTATIONS) return;
  throw new AwsError(
    'LimitExceededException',
    `The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: ${arnOf(key)}`,
  );
}

function checkPendingRotation(key: KeyRecord, family: readonly KeyRecord[]): void {
  if (key.pendingMaterial === undefined) {
    throw new AwsError(
      'KMSInvalidStateException',
      `No available key material pending rotation for the key: ${arnOf(key)}.`,
    );
  }
  const missing = family.find(({ pendingMaterial }) => pendingMaterial?.sealed === undefined);
  if (missing !== undefined) {
    throw new AwsError(
      'KMSInvalidStateException',
      `${arnOf(missing)} is pending import. Import the new key material into every replica key first.`,
    );
  }
}

/** Only AES keys have generations. Recorded answers say no more. */
function checkSymmetric(key: KeyRecord): void {
  if (key.keySpec !== 'SYMMETRIC_DEFAULT') throw new AwsError('UnsupportedOperationException');
}

/** Imported material is rotated by its owner. */
function checkOrigin(key: KeyRecord): void {
  if (key.origin === 'AWS_KMS') return;
  throw new AwsError(
    'UnsupportedOperationException',
    `${arnOf(key)} origin is ${key.origin} which is not valid for this operation.`,
  );
}

/** What a family shares is set on its primary. */
function checkPrimary(key: KeyRecord): void {
  if (!isReplica(key)) return;
  throw new AwsError(
    'UnsupportedOperationException',
    `${arnOf(key)} is a multi-Region replica key. Change the rotation of the primary key.`,
  );
}

export const listKeyRotations = defineKeyOperation({
  name: 'ListKeyRotations',
  action: 'kms:ListKeyRotations',
  readOnly: true,
  key: { aliases: false, crossAccount: false, states: 'any' },
  input: {
    KeyId: required(shapes.keyId),
    IncludeKeyMaterial: enumeration(['ALL_KEY_MATERIAL', 'ROTATIONS_ONLY']),
    Limit: shapes.limit,
    Marker: shapes.marker,
  },
  run(call, input, key) {
    checkSymmetric(key);
    if (key.origin === 'AWS_CLOUDHSM') checkOrigin(key);
    const all = input.IncludeKeyMaterial === 'ALL_KEY_MATERIAL';
    const materials = all
      ? allMaterials(key)
      : key.materials.filter(({ rotation }) => rotation !== undefined);
    const { items, tail } = pageOf(
      'ListKeyRotations',
      input,
      { defaultSize: 100, maxSize: 1000 },
      materials,
      ({ materialId }) => materialId,
    );
    const family = call.services.keys.familyOf(key);
    return { Rotations: items.map((material) => describeRotation(key, material, family)), ...tail };
  },
});

function describeRotation(
  key: KeyRecord,
  material: KeyMaterial,
  family: readonly KeyRecord[],
): Readonly<Record<string, unknown>> {
  const { materialId, rotation } = material;
  return {
    KeyId: key.keyId,
    KeyMaterialId: materialId,
    KeyMaterialState: materialState(key, materialId, family),
    ...(key.origin === 'EXTERNAL' ? describeImport(material) : {}),
    ...(rotation === undefined
      ? {}
      : { RotationDate: epochSeconds(rotation.dateMs), RotationType: rotation.type }),
  };
}

function materialState(key: KeyRecord, materialId: string, family: readonly KeyRecord[]): string {
  if (key.pendingMaterial?.materialId === materialId) {
    return family.every(({ pendingMaterial }) => pendingMaterial?.sealed !== undefined)
      ? 'PENDING_ROTATION'
      : 'PENDING_MULTI_REGION_IMPORT_AND_ROTATION';
  }
  return materialId === currentMaterialId(key) ? 'CURRENT' : 'NON_CURRENT';
}

function describeImport({ sealed, imported }: KeyMaterial): Readonly<Record<string, unknown>> {
  const description = imported?.description;
  return {
    ImportState: sealed === undefined ? 'PENDING_IMPORT' : 'IMPORTED',
    ...(description === undefined ? {} : { KeyMaterialDescription: description }),
    ...(sealed === undefined ? {} : describeValidity(imported?.validToMs)),
  };
}
