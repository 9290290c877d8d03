/**
 * A KMS key as it is kept: metadata, policy, tags, rotation, and the wrapped key material. One record, one stored value,
 * so that every change of a key is one compare-and-swap. docs/formats/key-service-store.md gives the JSON.
 */
import { isJsonObject } from '../http/json-body.js';
import { keyArn } from './key-id.js';
import type { KeySpec, KeyUsage } from './key-specs.js';

export interface KeyMaterial {
  /** 64 hexadecimal digits: the API's KeyMaterialId. */
  readonly materialId: string;
  /**
   * Sealed by the root key (root-key/material-seal.ts), base64. Absent: imported material that was deleted, has expired, or
   * has not been imported into this replica yet, and only its id is remembered, and nothing else may take its place; or the
   * material of a key in a custom key store, which is in a token (custom-key-stores/token-keys.ts).
   */
  readonly sealed?: string;
  /** Present for imported material only. */
  readonly imported?: ImportedMaterial;
  /** Absent for the first material of a key. */
  readonly rotation?: { readonly dateMs: number; readonly type: 'AUTOMATIC' | 'ON_DEMAND' };
}

interface ImportedMaterial {
  readonly description?: string;
  /** Absent: does not expire. */
  readonly validToMs?: number;
}

export type KeyState =
  | { readonly kind: 'Enabled' }
  | { readonly kind: 'Disabled' }
  | { readonly kind: 'PendingDeletion'; readonly deletionDateMs: number }
  /** Imported material is missing. Only keys of origin EXTERNAL. */
  | { readonly kind: 'PendingImport' }
  /** A multi-Region primary that waits for its replicas to be gone; then its own waiting period begins. */
  | { readonly kind: 'PendingReplicaDeletion'; readonly windowDays: number };

export interface Tag {
  readonly TagKey: string;
  readonly TagValue: string;
}

export interface Rotation {
  readonly periodDays: number;
  readonly nextDateMs: number;
}

/** The same in every key of a family: primary and replicas. Changed in one transaction for all of them. */
export interface MultiRegion {
  readonly primaryRegion: string;
  /** Sorted; without the primary's. */
  readonly replicaRegions: readonly string[];
}

export interface KeyRecord {
  readonly accountId: string;
  readonly region: string;
  readonly keyId: string;
  readonly creationDateMs: number;
  readonly description: string;
  readonly keySpec: KeySpec;
  readonly keyUsage: KeyUsage;
  readonly origin: 'AWS_KMS' | 'EXTERNAL' | 'AWS_CLOUDHSM';
  /** Present for keys of origin AWS_CLOUDHSM: the key is in the token of that store, and has one material. */
  readonly customKeyStoreId?: string;
  readonly state: KeyState;
  /** JSON text, as it was given. */
  readonly policy: string;
  readonly tags: readonly Tag[];
  /** Absent while automatic rotation is off. */
  readonly rotation?: Rotation;
  /** Oldest first; the last one encrypts. Empty only before the first import into a key of origin EXTERNAL. */
  readonly materials: readonly KeyMaterial[];
  /** Imported for the next rotation on demand; not in use before that. */
  readonly pendingMaterial?: KeyMaterial;
  /** The seed that made the key (seed-keys.ts); absent for keys made by a call. Hexadecimal. */
  readonly seedSha256?: string;
  /** Absent for a single-Region key. */
  readonly multiRegion?: MultiRegion;
}

export interface AliasRecord {
  readonly accountId: string;
  readonly region: string;
  /** With its `alias/` prefix. */
  readonly aliasName: string;
  readonly targetKeyId: string;
  readonly creationDateMs: number;
  readonly lastUpdatedDateMs: number;
}

export function arnOf(key: KeyRecord): string {
  return keyArn(key.region, key.accountId, key.keyId);
}

/** The material that encrypts. A key that is Enabled has one. */
export function currentMaterial(key: KeyRecord): KeyMaterial {
  return key.materials[key.materials.length - 1] as KeyMaterial;
}

/** Every material of the key, the one that waits for a rotation last. */
export function allMaterials({ materials, pendingMaterial }: KeyRecord): readonly KeyMaterial[] {
  return pendingMaterial === undefined ? materials : [...materials, pendingMaterial];
}

/** Undefined before the first import. */
export function currentMaterialId(key: KeyRecord): string | undefined {
  return key.materials[key.materials.length - 1]?.materialId;
}

const RECORD_VERSION = 1;

export function serializeRecord(record: KeyRecord | AliasRecord): Buffer {
  return Buffer.from(JSON.stringify({ version: RECORD_VERSION, ...record }));
}

const BEGINNING = Buffer.from(`{"version":${RECORD_VERSION},`);

/** True for what serializeRecord of this version wrote, damage apart. */
export function beginsAsRecord(value: Buffer): boolean {
  return value.length >= BEGINNING.length && BEGINNING.compare(value, 0, BEGINNING.length) === 0;
}

/**
 * Our own stored value, read back. The store is trusted not to lie (key material is authenticated by itself), so this
 * checks what a newer version or a damaged disk would break: JSON, version, and the members everything else hangs on.
 */
export function parseKeyRecord(value: Buffer): KeyRecord | undefined {
  const record = parseVersioned(value);
  if (record === undefined) return undefined;
  const { accountId, region, keyId, origin, state, materials, policy, tags } = record;
  const whole =
    typeof accountId === 'string' &&
    typeof region === 'string' &&
    typeof keyId === 'string' &&
    typeof policy === 'string' &&
    isJsonObject(state) &&
    Array.isArray(tags) &&
    Array.isArray(materials) &&
    (materials.length > 0 || origin === 'EXTERNAL');
  return whole ? (record as unknown as KeyRecord) : undefined;
}

/** As parseKeyRecord. */
export function parseAliasRecord(value: Buffer): AliasRecord | undefined {
  const record = parseVersioned(value);
  if (record === undefined) return undefined;
  const { accountId, region, aliasName, targetKeyId } = record;
  const whole =
    typeof accountId === 'string' &&
    typeof region === 'string' &&
    typeof aliasName === 'string' &&
    typeof targetKeyId === 'string';
  return whole ? (record as unknown as AliasRecord) : undefined;
}

function parseVersioned(value: Buffer): Record<string, unknown> | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value.toString('utf8'));
  } catch {
    return undefined;
  }
  if (!isJsonObject(parsed) || parsed['version'] !== RECORD_VERSION) return undefined;
  const { version: _, ...record } = parsed;
  return record;
}
