/** CreateKey, DescribeKey, ListKeys, UpdateKeyDescription. */
import { defaultKeyPolicy } from '../access/policy.js';
import { AwsError } from '../aws-error.js';
import { createKeyId, createMultiRegionKeyId, keyArn } from '../keys/key-id.js';
import type { KeyRecord } from '../keys/key-record.js';
import { allowsUsage, type KeySpec } from '../keys/key-specs.js';
import { boolean, list, required, string } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { accountOf, type Call } from './call.js';
import { checkCustomKeyStoreRequest, createInToken } from './custom-key-store-keys.js';
import { authorizeFirstTags, isUnavailable, noteKey } from './key-access.js';
import { type CustomKeyStoreFacts, keyMetadata } from './key-metadata.js';
import { defineAccountOperation, defineKeyOperation } from './operation.js';
import { page } from './pages.js';
import { checkKeyPolicy } from './policies.js';
import { checkTags } from './tags.js';

export const createKey = defineAccountOperation({
  name: 'CreateKey',
  action: 'kms:CreateKey',
  readOnly: false,
  input: {
    Policy: shapes.policy,
    Description: shapes.description,
    KeyUsage: shapes.keyUsage,
    CustomerMasterKeySpec: shapes.customerMasterKeySpec,
    KeySpec: shapes.keySpec,
    Origin: shapes.origin,
    CustomKeyStoreId: shapes.customKeyStoreId,
    BypassPolicyLockoutSafetyCheck: boolean,
    Tags: list(shapes.tag),
    MultiRegion: boolean,
    XksKeyId: string({ min: 1, max: 128 }),
  },
  check(input) {
    if (input.KeySpec !== undefined && input.CustomerMasterKeySpec !== undefined) {
      throw new AwsError(
        'ValidationException',
        'You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.',
      );
    }
    const spec = specOf(input);
    if (spec !== 'SYMMETRIC_DEFAULT' && input.KeyUsage === undefined) {
      throw new AwsError(
        'ValidationException',
        'You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.',
      );
    }
    const usage = input.KeyUsage ?? 'ENCRYPT_DECRYPT';
    if (spec !== 'SM2' && !allowsUsage(spec, usage)) {
      throw new AwsError('ValidationException', `KeyUsage ${usage} is not compatible with KeySpec ${spec}`);
    }
    if (spec === 'SM2') {
      throw new AwsError(
        'UnsupportedOperationException',
        'KeySpec SM2 is not supported by this key service.',
      );
    }
    checkCustomKeyStoreRequest(input, spec);
  },
  async run(call, input) {
    if (input.Tags !== undefined && input.Tags.length > 0) authorizeFirstTags(call);
    const tags = checkTags([], input.Tags ?? []);
    const accountId = accountOf(call);
    const { createKeyMaterial, randomBytes, vault } = call.services;
    // `check` has refused SM2.
    const keySpec = specOf(input) as KeySpec;
    const multiRegion = input.MultiRegion === true;
    const keyId = multiRegion ? createMultiRegionKeyId(randomBytes) : createKeyId(randomBytes);
    const external = input.Origin === 'EXTERNAL';
    if (input.Policy !== undefined) {
      const arn = keyArn(call.region, accountId, keyId);
      checkKeyPolicy(call, input.Policy, arn, input.BypassPolicyLockoutSafetyCheck);
    }
    const draft: KeyRecord = {
      accountId,
      region: call.region,
      keyId,
      creationDateMs: call.nowMs,
      description: input.Description ?? '',
      keySpec,
      keyUsage: input.KeyUsage ?? 'ENCRYPT_DECRYPT',
      origin: external ? 'EXTERNAL' : 'AWS_KMS',
      state: { kind: external ? 'PendingImport' : 'Enabled' },
      policy: input.Policy ?? defaultKeyPolicy(accountId),
      tags,
      materials: [],
      ...(multiRegion ? { multiRegion: { primaryRegion: call.region, replicaRegions: [] } } : {}),
    };
    if (input.CustomKeyStoreId !== undefined) {
      const save = (record: KeyRecord) => storeNewKey(call, record);
      const record = await createInToken(call, draft, input.CustomKeyStoreId, save);
      return { KeyMetadata: keyMetadata(record, customKeyStoreFacts(call, record)) };
    }
    const record = external
      ? draft
      : { ...draft, materials: [vault.adopt(accountId, keyId, await createKeyMaterial(keySpec))] };
    await storeNewKey(call, record);
    return { KeyMetadata: keyMetadata(record) };
  },
});

function specOf<Spec>({
  KeySpec,
  CustomerMasterKeySpec,
}: {
  readonly KeySpec: Spec | undefined;
  readonly CustomerMasterKeySpec: Spec | undefined;
}): Spec | 'SYMMETRIC_DEFAULT' {
  return KeySpec ?? CustomerMasterKeySpec ?? 'SYMMETRIC_DEFAULT';
}

async function storeNewKey(call: Call, record: KeyRecord): Promise<void> {
  // 122 random bits: a second key of one id means the source of randomness is broken, and nothing may go on.
  if (!(await call.services.keys.createKey(record)))
    throw new AwsError('KMSInternalException', 'The new key id exists already.');
  noteKey(call, record);
}

function customKeyStoreFacts(call: Call, key: KeyRecord): CustomKeyStoreFacts | undefined {
  if (key.customKeyStoreId === undefined) return undefined;
  const clusterId = call.services.tokenKeys.storeOf(key)?.clusterId;
  return { clusterId, unavailable: isUnavailable(call, key) };
}

export const describeKey = defineKeyOperation({
  name: 'DescribeKey',
  action: 'kms:DescribeKey',
  readOnly: true,
  key: { aliases: true, crossAccount: true, states: 'any' },
  input: { KeyId: required(shapes.keyId), GrantTokens: shapes.grantTokens },
  run: (call, _input, key) => ({ KeyMetadata: keyMetadata(key, customKeyStoreFacts(call, key)) }),
});

export const listKeys = defineAccountOperation({
  name: 'ListKeys',
  action: 'kms:ListKeys',
  readOnly: true,
  input: { Limit: shapes.limit, Marker: shapes.marker },
  run(call, input) {
    const accountId = accountOf(call);
    const ids = call.services.keys.keyIds(accountId, call.region);
    const { names, tail } = page('ListKeys', input, { defaultSize: 100, maxSize: 1000 }, (name, count) =>
      ids.after(name, count),
    );
    const Keys = names.map((keyId) => ({ KeyArn: keyArn(call.region, accountId, keyId), KeyId: keyId }));
    return { Keys, ...tail };
  },
});

export const updateKeyDescription = defineKeyOperation({
  name: 'UpdateKeyDescription',
  action: 'kms:UpdateKeyDescription',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'not-pending-deletion' },
  input: { KeyId: required(shapes.keyId), Description: required(shapes.description) },
  async run(call, input, key) {
    await call.services.keys.updateKey(key, (record) => ({ ...record, description: input.Description }));
    return undefined;
  },
});
