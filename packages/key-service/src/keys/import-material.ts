/**
 * Imported key material as a part of its key: what is there, when it goes, and what the key's state follows from it.
 *
 * Source of the rule: KMS Developer Guide, "Importing key material" and "Key states". Pure functions from record to record;
 * the operations and the lifecycle put them into transactions.
 */
import { AwsError } from '../aws-error.js';
import { parsePrivateKey } from '../crypto/private-key.js';
import { arnOf, type KeyMaterial, type KeyRecord } from './key-record.js';
import { isAsymmetric, type KeySpec, secretKeyBytes } from './key-specs.js';
import { isReplica } from './multi-region.js';

export type ImportType = 'NEW_KEY_MATERIAL' | 'EXISTING_KEY_MATERIAL';

/** Unwrapped, sealed and named, ready to become a part of its key. */
export interface NewImport {
  readonly materialId: string;
  readonly sealed: string;
  readonly importType: ImportType | undefined;
  readonly description: string | undefined;
  readonly validToMs: number | undefined;
}

/** True when these bytes can be the material of a key of that spec: raw bytes of its length, or its PKCS#8 DER. */
export function isMaterialOf(spec: KeySpec, material: Buffer): boolean {
  return isAsymmetric(spec)
    ? parsePrivateKey(spec, material) !== undefined
    : material.length === secretKeyBytes(spec);
}

export function isPresent({ sealed }: KeyMaterial): boolean {
  return sealed !== undefined;
}

/** The earliest date any material of the key expires; undefined when none does. */
export function expirationOf({ materials }: KeyRecord): number | undefined {
  const dates = materials.flatMap(({ imported }) => imported?.validToMs ?? []);
  return dates.length === 0 ? undefined : Math.min(...dates);
}

export function hasExpired({ materials, pendingMaterial }: KeyRecord, nowMs: number): boolean {
  return materials.some((one) => isOver(one, nowMs)) || isOver(pendingMaterial, nowMs);
}

/** The family once what has expired in its first member is gone; the same records when nothing has. */
export function withoutExpired(family: readonly KeyRecord[], nowMs: number): readonly KeyRecord[] {
  const [key, ...others] = family as readonly [KeyRecord, ...KeyRecord[]];
  if (!hasExpired(key, nowMs)) return family;
  const materials = key.materials.map((one) => (isOver(one, nowMs) ? withoutSecret(one) : one));
  const left = [settleState({ ...key, materials }), ...others];
  return isOver(key.pendingMaterial, nowMs) ? withoutPending(left) : left;
}

/** Pending material of a primary is forgotten in the whole family; a replica still waits for the one its primary has. */
function withoutPending(family: readonly KeyRecord[]): readonly KeyRecord[] {
  const [key, ...others] = family as readonly [KeyRecord, ...KeyRecord[]];
  if (!isReplica(key)) return family.map(forgetPending);
  const { pendingMaterial } = key;
  if (pendingMaterial === undefined) return family;
  return [{ ...key, pendingMaterial: withoutSecret(pendingMaterial) }, ...others];
}

function forgetPending(key: KeyRecord): KeyRecord {
  const { pendingMaterial: _, ...rest } = key;
  return rest;
}

function isOver(material: KeyMaterial | undefined, nowMs: number): boolean {
  const validToMs = material?.sealed === undefined ? undefined : material.imported?.validToMs;
  return validToMs !== undefined && validToMs <= nowMs;
}

/**
 * The family after `incoming` was imported into its first member.
 *
 * @throws AwsError IncorrectKeyMaterialException, KMSInvalidStateException, UnsupportedOperationException
 */
export function withImport(family: readonly KeyRecord[], incoming: NewImport): readonly KeyRecord[] {
  const [key, ...others] = family as readonly [KeyRecord, ...KeyRecord[]];
  const { materialId } = incoming;
  const importType =
    incoming.importType ?? (key.materials.length === 0 ? 'NEW_KEY_MATERIAL' : 'EXISTING_KEY_MATERIAL');
  const associated = key.materials.some((one) => one.materialId === materialId);
  const pending = key.pendingMaterial?.materialId === materialId;

  if (importType === 'NEW_KEY_MATERIAL' && key.materials.length > 0 && !pending) {
    if (associated) throw incorrect('This key material is already associated with the KMS key.');
    return [addPending(key, incoming), ...others.map((one) => expectPending(one, materialId))];
  }
  if (key.materials.length === 0) {
    if (importType === 'EXISTING_KEY_MATERIAL') {
      throw incorrect('No key material has been imported into the KMS key before.');
    }
    refuseReplica(key);
    const first = toMaterial(undefined, incoming);
    return [
      settleState({ ...key, materials: [first] }),
      ...others.map((one) => ({ ...one, materials: [{ materialId }] })),
    ];
  }
  if (!associated && !pending) {
    throw incorrect('The key material is not the one that was imported into the KMS key before.');
  }
  const renew = (one: KeyMaterial): KeyMaterial =>
    one.materialId === materialId ? toMaterial(one, incoming) : one;
  const renewed = settleState({
    ...key,
    materials: key.materials.map(renew),
    ...(key.pendingMaterial === undefined ? {} : { pendingMaterial: renew(key.pendingMaterial) }),
  });
  return [renewed, ...others];
}

function addPending(key: KeyRecord, incoming: NewImport): KeyRecord {
  refuseReplica(key);
  if (key.keySpec !== 'SYMMETRIC_DEFAULT') {
    throw incorrect('The key material of this KMS key cannot be changed after its first import.');
  }
  if (key.pendingMaterial !== undefined) {
    throw new AwsError(
      'KMSInvalidStateException',
      `New key material (id: ${incoming.materialId}) cannot be imported into KMS key ${arnOf(key)}, because another key material (id: ${key.pendingMaterial.materialId}) is pending rotation.`,
    );
  }
  return { ...key, pendingMaterial: toMaterial(undefined, incoming) };
}

const expectPending = (key: KeyRecord, materialId: string): KeyRecord => ({
  ...key,
  pendingMaterial: { materialId },
});

/** A description that is not given stays as it was at the import before. */
function toMaterial(before: KeyMaterial | undefined, incoming: NewImport): KeyMaterial {
  const description = incoming.description ?? before?.imported?.description;
  const { validToMs } = incoming;
  return {
    materialId: incoming.materialId,
    sealed: incoming.sealed,
    imported: {
      ...(description === undefined ? {} : { description }),
      ...(validToMs === undefined ? {} : { validToMs }),
    },
    ...(before?.rotation === undefined ? {} : { rotation: before.rotation }),
  };
}

/**
 * The family after `materialId` was deleted from its first member.
 *
 * @throws AwsError NotFoundException when the key has no such material
 */
export function withoutImport(family: readonly KeyRecord[], materialId: string): readonly KeyRecord[] {
  const [key, ...others] = family as readonly [KeyRecord, ...KeyRecord[]];
  if (key.pendingMaterial?.materialId === materialId) return withoutPending(family);
  if (!key.materials.some((one) => one.materialId === materialId)) {
    throw new AwsError('NotFoundException', `Key material '${materialId}' of ${arnOf(key)} is not found.`);
  }
  const materials = key.materials.map((one) => (one.materialId === materialId ? withoutSecret(one) : one));
  return [settleState({ ...key, materials }), ...others];
}

/** Enabled needs every material; a key that waits for its deletion goes on waiting. */
function settleState(key: KeyRecord): KeyRecord {
  const whole = isWhole(key);
  const state = key.state.kind;
  if (!whole && (state === 'Enabled' || state === 'Disabled')) {
    return { ...key, state: { kind: 'PendingImport' } };
  }
  return whole && state === 'PendingImport' ? { ...key, state: { kind: 'Enabled' } } : key;
}

/** False while any material of the key, once imported, is missing. */
export function isWhole({ materials }: KeyRecord): boolean {
  return materials.length > 0 && materials.every(isPresent);
}

function withoutSecret({ materialId, imported, rotation }: KeyMaterial): KeyMaterial {
  return {
    materialId,
    ...(imported?.description === undefined ? {} : { imported: { description: imported.description } }),
    ...(rotation === undefined ? {} : { rotation }),
  };
}

function refuseReplica(key: KeyRecord): void {
  if (isReplica(key)) {
    throw new AwsError(
      'UnsupportedOperationException',
      `${arnOf(key)} is a multi-Region replica key. Import new key material into the primary key first.`,
    );
  }
}

function incorrect(message: string): AwsError {
  return new AwsError('IncorrectKeyMaterialException', message);
}
