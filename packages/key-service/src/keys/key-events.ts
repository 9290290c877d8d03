/** What the service itself did to keys, read off their records, as events for the audit log. */
import type { ServiceEvent } from '../audit/service-event.js';
import { keyArn } from './key-id.js';
import { isPresent } from './import-material.js';
import { allMaterials, arnOf, currentMaterialId, type KeyRecord } from './key-record.js';
import { hasReplicas } from './multi-region.js';

/** Shared properties go from the primary, whose event it is, to its replicas. */
export function synchronizationOf({ accountId, keyId, region, multiRegion }: KeyRecord): ServiceEvent {
  const primaryRegion = multiRegion?.primaryRegion ?? region;
  return {
    eventName: 'SynchronizeMultiRegionKey',
    accountId,
    region: primaryRegion,
    keyArn: keyArn(primaryRegion, accountId, keyId),
  };
}

/**
 * A rotation, and its way to the replicas.
 *
 * @param after the primary, or the key that has no family
 */
export function rotationOf(before: KeyRecord, after: KeyRecord): readonly ServiceEvent[] {
  const { accountId, region, keyId, origin, materials } = after;
  const rotated: ServiceEvent = {
    eventName: 'RotateKey',
    accountId,
    region,
    keyArn: arnOf(after),
    details: {
      rotationType: materials.at(-1)?.rotation?.type ?? 'AUTOMATIC',
      keyOrigin: origin,
      previousKeyMaterialId: currentMaterialId(before) ?? '',
      currentKeyMaterialId: currentMaterialId(after) ?? '',
      keyId,
    },
  };
  return hasReplicas(after) ? [rotated, synchronizationOf(after)] : [rotated];
}

/** @param token of a key in a custom key store: where its material was, and whether it is gone from there */
export function deletionOf(
  key: KeyRecord,
  token?: { readonly customKeyStoreId: string; readonly clusterId: string; readonly destroyed: boolean },
): ServiceEvent {
  const { accountId, region } = key;
  const event: ServiceEvent = { eventName: 'DeleteKey', accountId, region, keyArn: arnOf(key) };
  if (token === undefined) return event;
  const { customKeyStoreId, clusterId, destroyed } = token;
  const backingKey = { backingKeyId: currentMaterialId(key) };
  const status = { ...backingKey, deletionStatus: destroyed ? 'SUCCESS' : 'FAILURE' };
  const eventData = {
    customKeyStoreId,
    clusterId,
    backingKeys: JSON.stringify([backingKey]),
    backingKeysDeletionStatus: JSON.stringify([status]),
  };
  return { ...event, eventData };
}

/** One for each material that was there and is there no more. */
export function expirationsOf(before: KeyRecord, after: KeyRecord): readonly ServiceEvent[] {
  const { accountId, region, keyId } = before;
  const left = new Set(allMaterials(after).flatMap((one) => (isPresent(one) ? one.materialId : [])));
  return allMaterials(before)
    .filter((one) => isPresent(one) && !left.has(one.materialId))
    .map(({ materialId }) => ({
      eventName: 'DeleteExpiredKeyMaterial',
      accountId,
      region,
      keyArn: arnOf(before),
      details: { keyId, keyMaterialId: materialId },
    }));
}
