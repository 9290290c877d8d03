/**
 * What Cloud KMS says of a key and its versions, as a `KeyCondition`.
 *
 * Source: the Cloud KMS reference, `CryptoKeyVersion.CryptoKeyVersionState`. A version that is scheduled for destruction cannot be used from
 * the moment it is scheduled, but can be restored until `destroyTime`.
 */
import type { protos } from '@google-cloud/kms';
import type { KeyCondition, KeyState } from '../key-condition.js';
import { parseGcpKeyName } from './gcp-key-name.js';

type CryptoKey = protos.google.cloud.kms.v1.ICryptoKey;
type CryptoKeyVersion = protos.google.cloud.kms.v1.ICryptoKeyVersion;

interface VersionCondition {
  readonly version: string;
  readonly state: KeyState;
  readonly destroyMs: number | undefined;
}

const stateOf: ReadonlyMap<unknown, KeyState> = new Map<unknown, KeyState>([
  ['ENABLED', 'usable'],
  ['DISABLED', 'disabled'],
  ['DESTROY_SCHEDULED', 'pending-deletion'],
  ['DESTROYED', 'gone'],
  ['PENDING_GENERATION', 'disabled'],
  ['GENERATION_FAILED', 'gone'],
  ['PENDING_IMPORT', 'pending-import'],
  ['IMPORT_FAILED', 'pending-import'],
  ['PENDING_EXTERNAL_DESTRUCTION', 'gone'],
  ['EXTERNAL_DESTRUCTION_FAILED', 'gone'],
]);

export interface GcpKeyFacts {
  readonly key: CryptoKey;
  /** Undefined when the plugin may not list them. */
  readonly versions: readonly CryptoKeyVersion[] | undefined;
  /** The version new values are wrapped with; the primary's when undefined. */
  readonly writes: string | undefined;
  /** Versions that values have been read with, by their numbers. */
  readonly needed: ReadonlySet<string>;
}

export function gcpKeyCondition(facts: GcpKeyFacts): KeyCondition {
  const warnings: string[] = [];
  const { key } = facts;
  const primary = key.primary === undefined || key.primary === null ? undefined : conditionOf(key.primary);
  const versions = (facts.versions ?? []).map(conditionOf).filter((version) => version !== undefined);
  const writes = facts.writes ?? primary?.version;
  const current =
    versions.find(({ version }) => version === writes) ?? (primary?.version === writes ? primary : undefined);

  if (key.purpose !== 'ENCRYPT_DECRYPT') warnings.push('The purpose of the key is not ENCRYPT_DECRYPT.');
  if (primary === undefined) warnings.push('The key has no primary version; make a version the primary one.');
  if (facts.versions === undefined) {
    warnings.push(
      'Older versions of the key are not watched; grant cloudkms.cryptoKeyVersions.list, as roles/cloudkms.viewer has it.',
    );
  }

  const unreadable: number[] = [];
  if (current?.destroyMs !== undefined) unreadable.push(current.destroyMs);
  for (const old of versions) {
    if (old === current || old.state === 'usable') continue;
    const needed = facts.needed.has(old.version);
    // Destroyed long ago and never asked for: that is how a rotation ends.
    if (old.state === 'gone' && !needed) continue;
    if (needed && old.destroyMs !== undefined) unreadable.push(old.destroyMs);
    warnings.push(warningOf(old, needed));
  }
  return {
    state: current?.state ?? (primary === undefined ? 'disabled' : 'gone'),
    ...(unreadable.length === 0 ? {} : { unreadableFromMs: Math.min(...unreadable) }),
    warnings,
  };
}

function warningOf({ version, state, destroyMs }: VersionCondition, needed: boolean): string {
  const what =
    destroyMs === undefined
      ? `Version ${version} of the key is ${state === 'gone' ? 'destroyed' : 'not enabled'}`
      : `Version ${version} of the key will be destroyed at ${new Date(destroyMs).toISOString()}`;
  return needed
    ? `${what}, and values have been read with it; restore it, or rewrite them.`
    : `${what}; what was written with it cannot be read.`;
}

function conditionOf(version: CryptoKeyVersion): VersionCondition | undefined {
  const number = parseGcpKeyName(version.name ?? '')?.version;
  if (number === undefined) return undefined;
  const state = stateOf.get(version.state) ?? 'disabled';
  return {
    version: number,
    state,
    destroyMs: state === 'pending-deletion' ? millisecondsOf(version.destroyTime) : undefined,
  };
}

function millisecondsOf(time: protos.google.protobuf.ITimestamp | null | undefined): number | undefined {
  const seconds = Number(time?.seconds ?? Number.NaN);
  // Dates beyond what JavaScript holds are no dates.
  return Number.isNaN(new Date(seconds * 1000).getTime()) ? undefined : seconds * 1000;
}
