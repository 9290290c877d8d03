/** ReplicateKey, UpdatePrimaryRegion. */
import { defaultKeyPolicy } from '../access/policy.js';
import { AwsError } from '../aws-error.js';
import { synchronizationOf } from '../keys/key-events.js';
import { keyArn } from '../keys/key-id.js';
import { arnOf, type KeyRecord } from '../keys/key-record.js';
import { checkKeyState } from '../keys/key-states.js';
import { addReplica, familyRegions, isReplica, withPrimary } from '../keys/multi-region.js';
import { boolean, list, required, string } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { type Call, noteRelatedCall, noteServiceEvents, type RelatedCall } from './call.js';
import { authorizeFirstTags, authorizeWithoutKey, useKey } from './key-access.js';
import { keyMetadata } from './key-metadata.js';
import { defineKeyOperation } from './operation.js';
import { checkKeyPolicy } from './policies.js';
import { checkTags } from './tags.js';

const REGION_PATTERN = '^([a-z]+-){2,3}\\d+$';
const region = string({ min: 1, max: 32, pattern: new RegExp(REGION_PATTERN), patternText: REGION_PATTERN });

export const replicateKey = defineKeyOperation({
  name: 'ReplicateKey',
  action: 'kms:ReplicateKey',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'enabled' },
  input: {
    KeyId: required(shapes.keyId),
    ReplicaRegion: required(region),
    Policy: shapes.policy,
    BypassPolicyLockoutSafetyCheck: boolean,
    Description: shapes.description,
    Tags: list(shapes.tag),
  },
  async run(call, input, key) {
    checkPrimary(key);
    // Also asked for in the replica's Region, where the new key has no policy yet.
    const creation = { ...creationInput(key, input), MultiRegionKeyType: 'REPLICA' };
    const elsewhere: Call = { ...call, region: input.ReplicaRegion, input: creation };
    authorizeWithoutKey(elsewhere, 'kms:CreateKey', '*');
    if (input.Tags !== undefined && input.Tags.length > 0) {
      authorizeFirstTags(elsewhere);
    }
    const tags = checkTags([], input.Tags ?? []);
    const arn = keyArn(input.ReplicaRegion, key.accountId, key.keyId);
    if (input.Policy !== undefined) {
      checkKeyPolicy(elsewhere, input.Policy, arn, input.BypassPolicyLockoutSafetyCheck);
    }
    const policy = input.Policy ?? defaultKeyPolicy(key.accountId);
    const family = await call.services.keys.updateFamily(key, (members) => {
      const [own = key] = members;
      checkKeyState(own, 'enabled');
      checkPrimary(own);
      if (familyRegions(own).includes(input.ReplicaRegion)) {
        throw new AwsError('AlreadyExistsException', `The key ${arn} already exists`);
      }
      return addReplica(members, {
        region: input.ReplicaRegion,
        creationDateMs: call.nowMs,
        description: input.Description ?? '',
        policy,
        tags,
      });
    });
    const replica = family.find((one) => one.region === input.ReplicaRegion);
    if (replica === undefined) throw new AwsError('KMSInternalException', 'The replica was not made.');
    // A replica is ready at once; AWS answers with the state it has before that, and clients wait for its end.
    const metadata = { ...keyMetadata(replica), Enabled: false, KeyState: 'Creating' };
    noteRelatedCall(call, creationOf(replica, input, metadata));
    noteServiceEvents(call, [synchronizationOf(key)]);
    return {
      ReplicaKeyMetadata: metadata,
      ReplicaPolicy: policy,
      ...(tags.length === 0 ? {} : { ReplicaTags: tags }),
    };
  },
});

export const updatePrimaryRegion = defineKeyOperation({
  name: 'UpdatePrimaryRegion',
  action: 'kms:UpdatePrimaryRegion',
  readOnly: false,
  key: { aliases: false, crossAccount: false, states: 'not-pending-deletion' },
  input: { KeyId: required(shapes.keyId), PrimaryRegion: required(region) },
  async run(call, { PrimaryRegion }, key) {
    checkPrimary(key);
    const replica = call.services.keys.findKey(key.accountId, PrimaryRegion, key.keyId);
    if (replica === undefined || PrimaryRegion === key.region) {
      throw PrimaryRegion === key.region
        ? new AwsError(
            'UnsupportedOperationException',
            `${arnOf(key)} is already the multi-region primary key.`,
          )
        : new AwsError(
            'NotFoundException',
            `Key '${keyArn(PrimaryRegion, key.accountId, key.keyId)}' does not exist`,
          );
    }
    useKey({ ...call, region: PrimaryRegion, resources: [] }, replica, 'kms:UpdatePrimaryRegion', {
      states: 'not-pending-deletion',
    });
    await call.services.keys.updateFamily(key, (members) => {
      const [own = key] = members;
      checkPrimary(own);
      checkKeyState(own, 'not-pending-deletion');
      const next = members.find((one) => one.region === PrimaryRegion);
      if (next === undefined) throw new AwsError('NotFoundException', 'The replica key is gone.');
      checkKeyState(next, 'not-pending-deletion');
      return withPrimary(members, PrimaryRegion);
    });
    noteRelatedCall(call, {
      eventName: 'UpdatePrimaryRegion',
      region: PrimaryRegion,
      input: { KeyId: arnOf(replica), PrimaryRegion },
      output: { KeyId: arnOf(replica) },
      resources: [],
    });
    return undefined;
  },
});

/** What CreateKey would be asked for in the replica's Region. */
function creationInput(
  { keySpec, keyUsage, origin }: KeyRecord,
  { Policy, Description, BypassPolicyLockoutSafetyCheck, Tags }: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const given = { Policy, Description, BypassPolicyLockoutSafetyCheck, Tags };
  return { ...given, KeySpec: keySpec, KeyUsage: keyUsage, Origin: origin, MultiRegion: true };
}

/** In the trail of its Region a replica begins as any key does. */
function creationOf(
  replica: KeyRecord,
  input: Readonly<Record<string, unknown>>,
  metadata: Readonly<Record<string, unknown>>,
): RelatedCall {
  const { accountId, region } = replica;
  return {
    eventName: 'CreateKey',
    region,
    input: creationInput(replica, input),
    output: { KeyMetadata: metadata },
    resources: [{ arn: arnOf(replica), accountId, type: 'AWS::KMS::Key' }],
  };
}

function checkPrimary(key: KeyRecord): void {
  if (key.multiRegion === undefined || isReplica(key)) {
    throw new AwsError('UnsupportedOperationException', `${arnOf(key)} is not a multi-region primary key.`);
  }
}
