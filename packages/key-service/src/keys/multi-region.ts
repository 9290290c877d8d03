/**
 * Families of multi-Region keys: a primary and its replicas, one key id and one material in several Regions.
 *
 * Source of the rule: KMS Developer Guide, "Multi-Region keys". Every member carries the whole family's Regions, and every
 * change of what they share is one transaction over all of them, so no reader ever sees half of a rotation.
 */
import { keyArn } from './key-id.js';
import type { KeyRecord, MultiRegion } from './key-record.js';

/** Own Region first. One Region for a single-Region key. */
export function familyRegions({ region, multiRegion }: KeyRecord): readonly string[] {
  if (multiRegion === undefined) return [region];
  const others = [multiRegion.primaryRegion, ...multiRegion.replicaRegions].filter((one) => one !== region);
  return [region, ...others];
}

export function isReplica({ region, multiRegion }: KeyRecord): boolean {
  return multiRegion !== undefined && multiRegion.primaryRegion !== region;
}

/** True for a primary that has replicas. */
export function hasReplicas(key: KeyRecord): boolean {
  return key.multiRegion !== undefined && !isReplica(key) && key.multiRegion.replicaRegions.length > 0;
}

/** The primary's record; the key itself when it has no family. */
function primaryOf(family: readonly KeyRecord[]): KeyRecord {
  return (family.find((key) => !isReplica(key)) ?? family[0]) as KeyRecord;
}

/** KeyMetadata's MultiRegionConfiguration. */
export function multiRegionConfiguration(
  key: KeyRecord,
  { primaryRegion, replicaRegions }: MultiRegion,
): Readonly<Record<string, unknown>> {
  const describe = (region: string): Readonly<Record<string, string>> => ({
    Arn: keyArn(region, key.accountId, key.keyId),
    Region: region,
  });
  return {
    MultiRegionKeyType: isReplica(key) ? 'REPLICA' : 'PRIMARY',
    PrimaryKey: describe(primaryRegion),
    ReplicaKeys: replicaRegions.map(describe),
  };
}

/** The family with one more replica, which takes the shared properties of the primary. Imported material does not travel. */
export function addReplica(
  family: readonly KeyRecord[],
  replica: Pick<KeyRecord, 'region' | 'creationDateMs' | 'description' | 'policy' | 'tags' | 'seedSha256'>,
): readonly KeyRecord[] {
  const primary = primaryOf(family);
  const external = primary.origin === 'EXTERNAL';
  const { pendingMaterial, rotation, seedSha256: _, ...shared } = primary;
  const added: KeyRecord = {
    ...shared,
    ...replica,
    ...(rotation === undefined ? {} : { rotation }),
    materials: external ? primary.materials.map(withoutSecret) : primary.materials,
    ...(pendingMaterial === undefined ? {} : { pendingMaterial: withoutSecret(pendingMaterial) }),
    state: { kind: external ? 'PendingImport' : 'Enabled' },
  };
  return withRegions([...family, added], primary.region);
}

/** The others once `region` has left. A primary that waited for its last replica begins its own waiting period. */
export function leaveFamily(
  family: readonly KeyRecord[],
  region: string,
  nowMs: number,
  dayMs: number,
): readonly KeyRecord[] {
  const primary = primaryOf(family);
  const left = family.filter((key) => key.region !== region);
  if (left.length === 0 || primary.multiRegion === undefined) return left;
  return withRegions(left, primary.region).map((key) =>
    key.state.kind === 'PendingReplicaDeletion' && left.length === 1
      ? {
          ...key,
          state: { kind: 'PendingDeletion', deletionDateMs: nowMs + key.state.windowDays * dayMs },
        }
      : key,
  );
}

/** @param primaryRegion a Region of the family */
export function withPrimary(family: readonly KeyRecord[], primaryRegion: string): readonly KeyRecord[] {
  return withRegions(family, primaryRegion);
}

function withRegions(family: readonly KeyRecord[], primaryRegion: string): readonly KeyRecord[] {
  const replicaRegions = family
    .map(({ region }) => region)
    .filter((region) => region !== primaryRegion)
    .toSorted();
  return family.map((key) => ({ ...key, multiRegion: { primaryRegion, replicaRegions } }));
}

function withoutSecret({
  materialId,
  rotation,
}: KeyRecord['materials'][number]): KeyRecord['materials'][number] {
  return rotation === undefined ? { materialId } : { materialId, rotation };
}
