/**
 * Fixed keys: made at start with given ids, and from then on ordinary keys.
 *
 * A seed that was applied once changes nothing at later starts, whatever became of the key since: the key remembers which seed
 * made it. A seed that differs from the stored key is refused. docs/key-service.md, "Fixed keys".
 */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { defaultKeyPolicy } from './access/policy.js';
import { AwsError } from './aws-error.js';
import { KeyServiceError } from './errors.js';
import type { CallRecorder } from './http/call-recorder.js';
import { keyArn } from './keys/key-id.js';
import { type KeyMaterial, type KeyRecord } from './keys/key-record.js';
import { addReplica } from './keys/multi-region.js';
import type { KeySeed } from './keys/seed-file.js';
import type { Call, KeyServices } from './operations/call.js';
import { noteKey } from './operations/key-access.js';
import { keyMetadata } from './operations/key-metadata.js';
import type { Operation } from './operations/operation.js';
import { checkKeyPolicy } from './operations/policies.js';
import { checkTags } from './operations/tags.js';
import { runAsRoot } from './run-as-root.js';

/**
 * Makes the keys that are not there yet, one after the other: a later seed of the same `mrk-` id is a replica of the first.
 *
 * @throws KeyServiceError seed-conflict, invalid-seeds
 */
export async function seedKeys(
  services: KeyServices,
  recorder: CallRecorder,
  seeds: readonly KeySeed[],
): Promise<void> {
  for (const seed of seeds) {
    const stored = services.keys.findKey(seed.accountId, seed.region, seed.keyId);
    if (stored !== undefined) {
      checkSame(services, stored, seed);
      continue;
    }
    checkAlias(services, seed);
    const primary = findPrimary(services, seed);
    if (primary !== undefined) checkProperties(primary, seed);
    try {
      await runAsRoot(services, recorder, seedOperation(seed), seed, {});
    } catch (error) {
      if (!(error instanceof AwsError) || error.code === 'KMSInternalException') throw error;
      throw new KeyServiceError(
        'invalid-seeds',
        `Fixed keys: ${arnOfSeed(seed)} cannot be made: ${error.message}`,
        { cause: error },
      );
    }
  }
}

function arnOfSeed({ region, accountId, keyId }: KeySeed): string {
  return keyArn(region, accountId, keyId);
}

/** In the audit log it is what it does: a CreateKey by the account's root. */
function seedOperation(seed: KeySeed): Operation {
  return {
    name: 'CreateKey',
    readOnly: false,
    async execute(call) {
      const { keySpec, keyUsage, origin, description = '', policy } = seed;
      call.input = { Description: description, KeySpec: keySpec, KeyUsage: keyUsage, Origin: origin };
      if (policy !== undefined) checkKeyPolicy(call, policy, arnOfSeed(seed), true);
      await createAlias(call, seed);
      const record = await createRecord(call, seed);
      noteKey(call, record);
      return { KeyMetadata: keyMetadata(record) };
    },
  };
}

/** Before its key, so that a start that was interrupted is simply repeated. */
async function createAlias(call: Call, seed: KeySeed): Promise<void> {
  const { accountId, region, keyId, aliasName } = seed;
  if (aliasName === undefined) return;
  const { keys } = call.services;
  const dates = { creationDateMs: call.nowMs, lastUpdatedDateMs: call.nowMs };
  const created = await keys.createAlias({ accountId, region, aliasName, targetKeyId: keyId, ...dates });
  if (!created && keys.findAlias(accountId, region, aliasName)?.targetKeyId !== keyId) {
    throw new AwsError('AlreadyExistsException', `The alias ${aliasName} points to another key.`);
  }
}

/** @throws KeyServiceError seed-conflict */
function checkAlias({ keys }: KeyServices, seed: KeySeed): void {
  if (seed.aliasName === undefined) return;
  const alias = keys.findAlias(seed.accountId, seed.region, seed.aliasName);
  if (alias !== undefined && alias.targetKeyId !== seed.keyId) {
    throw conflict(seed, [`its alias ${seed.aliasName} points to another key there`]);
  }
}

async function createRecord(call: Call, seed: KeySeed): Promise<KeyRecord> {
  const { keys } = call.services;
  const own = {
    region: seed.region,
    creationDateMs: call.nowMs,
    description: seed.description ?? '',
    policy: seed.policy ?? defaultKeyPolicy(seed.accountId),
    tags: checkTags([], seed.tags ?? []),
    seedSha256: seedSha256(seed),
  };
  const primary = findPrimary(call.services, seed);
  if (primary !== undefined) {
    const family = await keys.updateFamily(primary, (members) => addReplica(members, own));
    return family.find(({ region }) => region === seed.region) as KeyRecord;
  }
  const record: KeyRecord = {
    ...own,
    accountId: seed.accountId,
    keyId: seed.keyId,
    keySpec: seed.keySpec,
    keyUsage: seed.keyUsage,
    origin: seed.origin,
    state: { kind: seed.origin === 'EXTERNAL' ? 'PendingImport' : 'Enabled' },
    materials: seed.origin === 'EXTERNAL' ? [] : [await createMaterial(call, seed)],
    ...(isMultiRegion(seed) ? { multiRegion: { primaryRegion: seed.region, replicaRegions: [] } } : {}),
  };
  if (!(await keys.createKey(record))) {
    throw new AwsError('AlreadyExistsException', 'Another process made it just now. Start again.');
  }
  return record;
}

async function createMaterial(call: Call, seed: KeySeed): Promise<KeyMaterial> {
  const { vault, createKeyMaterial } = call.services;
  const { accountId, keyId, material } = seed;
  if (material === undefined) return vault.adopt(accountId, keyId, await createKeyMaterial(seed.keySpec));
  const materialId = seededMaterialId(seed, material);
  return { materialId, sealed: vault.seal(accountId, keyId, materialId, material) };
}

function isMultiRegion({ keyId }: KeySeed): boolean {
  return keyId.startsWith('mrk-');
}

function findPrimary({ keys }: KeyServices, seed: KeySeed): KeyRecord | undefined {
  if (!isMultiRegion(seed)) return undefined;
  for (const key of keys.all()) {
    if (key.accountId !== seed.accountId || key.keyId !== seed.keyId) continue;
    const region = key.multiRegion?.primaryRegion ?? key.region;
    return keys.findKey(key.accountId, region, key.keyId) ?? key;
  }
  return undefined;
}

/** The same in every data directory, so that one seeded alike reads the ciphertexts of another. */
function seededMaterialId({ accountId, keyId }: KeySeed, material: Buffer): string {
  const label = `waxseal/key-service/seeded-material-id/v1/${accountId}/${keyId}/`;
  return createHash('sha256').update(label).update(material).digest('hex');
}

function seedSha256(seed: KeySeed): string {
  const { material, policy, ...rest } = seed;
  const described = {
    ...rest,
    policy: policy === undefined ? undefined : parsed(policy),
    materialId: material && seededMaterialId(seed, material),
  };
  return createHash('sha256').update(JSON.stringify(described, sortedKeys)).digest('hex');
}

/** Members in one order, however the file orders them. */
function sortedKeys(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** A policy that is not JSON differs from every other text; whether it is a policy is checked where it is used. */
function parsed(policy: string): unknown {
  try {
    return JSON.parse(policy);
  } catch {
    return policy;
  }
}

/** @throws KeyServiceError seed-conflict */
function checkSame({ keys }: KeyServices, stored: KeyRecord, seed: KeySeed): void {
  if (stored.seedSha256 === seedSha256(seed)) return;
  checkProperties(stored, seed);
  const differs: string[] = [];
  if (seed.description !== undefined && seed.description !== stored.description) differs.push('description');
  if (seed.policy !== undefined && !isDeepStrictEqual(parsed(seed.policy), parsed(stored.policy))) {
    differs.push('policy');
  }
  const tags = (list: KeyRecord['tags']): object =>
    Object.fromEntries(list.map((one) => [one.TagKey, one.TagValue]));
  if (seed.tags !== undefined && !isDeepStrictEqual(tags(seed.tags), tags(stored.tags))) differs.push('tags');
  if (seed.aliasName !== undefined) {
    const alias = keys.findAlias(stored.accountId, stored.region, seed.aliasName);
    if (alias?.targetKeyId !== stored.keyId) differs.push('alias');
  }
  if (differs.length > 0) {
    throw conflict(seed, [
      `its ${differs.join(', ')} ${differs.length === 1 ? 'is' : 'are'} different there`,
    ]);
  }
}

/** What no call can ever change. @throws KeyServiceError seed-conflict */
function checkProperties(stored: KeyRecord, seed: KeySeed): void {
  const differs = [
    ...(stored.keySpec === seed.keySpec ? [] : [`its spec is ${stored.keySpec} there`]),
    ...(stored.keyUsage === seed.keyUsage ? [] : [`its usage is ${stored.keyUsage} there`]),
    ...(stored.origin === seed.origin ? [] : [`its origin is ${stored.origin} there`]),
  ];
  const { material } = seed;
  if (material !== undefined && differs.length === 0) {
    const materialId = seededMaterialId(seed, material);
    if (!stored.materials.some((one) => one.materialId === materialId)) {
      differs.push('its material is another there');
    }
  }
  if (differs.length > 0) throw conflict(seed, differs);
}

function conflict(seed: KeySeed, differs: readonly string[]): KeyServiceError {
  return new KeyServiceError(
    'seed-conflict',
    `Fixed keys: ${arnOfSeed(seed)} differs from what is stored: ${differs.join('; ')}. Change the key through the API, or correct the file, or start with another data directory.`,
  );
}
