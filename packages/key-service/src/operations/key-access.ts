/**
 * From a KeyId parameter to a key the caller may use: resolve, settle what is due by date, authorise, check the state.
 *
 * Messages are those recorded from AWS. Whether a key exists is told only to callers who could have used it.
 */
import {
  accessDenied,
  type AccessRequest,
  authorize,
  decideAccess,
  type GrantMatch,
} from '../access/authorizer.js';
import { findAllowingGrant } from '../access/grants.js';
import { type CompiledPolicy, compileStoredKeyPolicy } from '../access/policy.js';
import type { ConditionContext } from '../access/policy-variables.js';
import { AwsError } from '../aws-error.js';
import { unavailable } from '../custom-key-stores/token-keys.js';
import type { GrantConstraints } from '../keys/grant-record.js';
import { aliasArn, keyArn, parseKeyReference } from '../keys/key-id.js';
import { arnOf, type KeyRecord } from '../keys/key-record.js';
import { checkKeyState } from '../keys/key-states.js';
import { isDue } from '../keys/lifecycle.js';
import { accountOf, type Call, noteEventData } from './call.js';
import { contextOfCall, encryptionContextOf } from './condition-context.js';
import type { KeyRule, KeyUseRule } from './operation.js';

/** What kms:TrailingDaysWithoutKeyUsage can be asked of. */
const ASKS_FOR_USE: ReadonlySet<string> = new Set(['kms:DisableKey', 'kms:ScheduleKeyDeletion']);

/** Compiled once per version of a key: a changed key is another record object. */
const compiledPolicies = new WeakMap<KeyRecord, CompiledPolicy>();

function keyPolicyOf(key: KeyRecord): CompiledPolicy {
  let policy = compiledPolicies.get(key);
  if (policy === undefined) {
    policy = compileStoredKeyPolicy(key.policy);
    compiledPolicies.set(key, policy);
  }
  return policy;
}

/**
 * The key `keyId` names, if the caller may do `action` with it and its state allows that.
 *
 * @throws AwsError NotFoundException, InvalidArnException, AccessDeniedException, and those of checkKeyState
 */
export async function openKey(call: Call, keyId: string, action: string, rule: KeyRule): Promise<KeyRecord> {
  const found = findKey(call, keyId, action, rule);
  const key = isDue(found, call.nowMs) ? await call.services.lifecycle.settle(found) : found;
  if (key === undefined) throw keyNotFound(arnOf(found));
  if (ASKS_FOR_USE.has(action)) {
    call.daysWithoutUse = await call.services.usage.daysWithoutUse(key, call.nowMs);
  }
  useKey(call, key, action, rule);
  return key;
}

/**
 * The second half of openKey, for a key found another way (from a ciphertext).
 *
 * @param shownAs how a refusal names the key
 */
export function useKey(call: Call, key: KeyRecord, action: string, rule: KeyUseRule, shownAs?: string): void {
  noteKey(call, key);
  // Every use of a key in a custom key store is recorded with the store, also one that is refused.
  if (rule.usage !== undefined && key.customKeyStoreId !== undefined) {
    noteEventData(call, { customKeyStoreId: key.customKeyStoreId });
  }
  const access = keyAccess(call, key, action);
  authorize(shownAs === undefined ? access : { ...access, shownAs });
  checkKeyUse(call, key, action, rule);
}

/**
 * Is the key meant for this, and may it be used now? AWS looks at the usage first.
 *
 * @throws AwsError InvalidKeyUsageException, KMSInvalidStateException for a key that is Unavailable, and those of checkKeyState
 */
export function checkKeyUse(call: Call, key: KeyRecord, action: string, { usage, states }: KeyUseRule): void {
  if (usage !== undefined && key.keyUsage !== usage) throw wrongUsage(key, action);
  if (usage !== undefined && states === 'enabled' && isUnavailable(call, key)) throw unavailable(key);
  checkKeyState(key, states);
}

/** Its custom key store is not connected. What a key is while it waits for its deletion, it stays. */
export function isUnavailable(call: Call, key: KeyRecord): boolean {
  return (
    key.customKeyStoreId !== undefined &&
    key.state.kind !== 'PendingDeletion' &&
    !call.services.tokenKeys.isAvailable(key)
  );
}

function wrongUsage(key: KeyRecord, action: string): AwsError {
  return new AwsError(
    'InvalidKeyUsageException',
    `${arnOf(key)} key usage is ${key.keyUsage} which is not valid for ${action.slice('kms:'.length)}.`,
  );
}

export function keyAccess(call: Call, key: KeyRecord, action: string): AccessRequest {
  const context = contextOfCall(call, action, key.accountId, key);
  return {
    principal: call.principal,
    action,
    resource: arnOf(key),
    resourceAccountId: key.accountId,
    resourcePolicy: keyPolicyOf(key),
    context,
    findGrant: () => grantFor(call, key, action, context),
  };
}

function grantFor(
  call: Call,
  key: KeyRecord,
  action: string,
  context: ConditionContext,
): GrantMatch | undefined {
  const input = call.input ?? {};
  const { grants } = call.services.keys;
  return findAllowingGrant((grantee) => grants.ofGrantee(key, grantee), {
    principal: call.principal,
    action,
    encryptionContext: encryptionContextOf(action, input),
    context,
    newGrant:
      action === 'kms:CreateGrant'
        ? {
            operations: (input['Operations'] ?? []) as readonly string[],
            constraints: input['Constraints'] as GrantConstraints | undefined,
          }
        : undefined,
  });
}

export function noteKey(call: Call, key: KeyRecord): void {
  call.resources.push({ arn: arnOf(key), accountId: key.accountId, type: 'AWS::KMS::Key' });
}

/** For what has no policy of its own: the account (`*`), an alias. */
export function authorizeWithoutKey(call: Call, action: string, resource: string): void {
  authorize(accessWithoutKey(call, action, resource));
}

/** To give a key tags while it is made; a refusal names no resource, for there is none yet. */
export function authorizeFirstTags(call: Call): void {
  authorize({ ...accessWithoutKey(call, 'kms:TagResource', '*'), shownAs: '' });
}

export function accessWithoutKey(call: Call, action: string, resource: string): AccessRequest {
  const resourceAccountId = accountOf(call);
  const context = contextOfCall(call, action, resourceAccountId);
  return { principal: call.principal, action, resource, resourceAccountId, context };
}

function keyNotFound(arn: string): AwsError {
  return new AwsError('NotFoundException', `Key '${arn}' does not exist`);
}

function findKey(call: Call, keyId: string, action: string, { aliases, crossAccount }: KeyRule): KeyRecord {
  const reference = parseKeyReference(keyId);
  if (reference.kind === 'malformed-arn') throw new AwsError('InvalidArnException', `Invalid arn ${keyId}`);
  if (reference.kind === 'malformed-id') {
    throw new AwsError('NotFoundException', `Invalid keyId ${reference.shown}`);
  }

  const { region, accountId } = reference.scope ?? { region: call.region, accountId: accountOf(call) };
  if (region !== call.region) throw new AwsError('NotFoundException', `Invalid arn ${region}`);
  if (reference.kind === 'alias' && !aliases) throw aliasNotSupported();

  const { keys } = call.services;
  const foreign = accountId !== accountOf(call);
  const arn =
    reference.kind === 'key'
      ? keyArn(region, accountId, reference.keyId)
      : aliasArn(region, accountId, reference.aliasName);
  const found =
    reference.kind === 'key'
      ? keys.findKey(accountId, region, reference.keyId)
      : findByAlias(call, reference.aliasName, accountId);
  if (found !== undefined && (crossAccount || !foreign)) return found;

  const access = accessWithoutKey(call, action, arn);
  // Of another account's keys nothing is told, not even that there are none.
  if (foreign) throw accessDenied({ ...access, resourceAccountId: accountId }, 'no-resource');
  const { outcome } = decideAccess(access);
  if (outcome !== 'allow') throw accessDenied(access, outcome);
  throw reference.kind === 'key'
    ? keyNotFound(arn)
    : new AwsError('NotFoundException', `Alias ${arn} is not found.`);
}

/** For operations that take key ids and key ARNs only. */
export function aliasNotSupported(): AwsError {
  return new AwsError('InvalidArnException', 'Key Aliases are not supported for this operation.');
}

function findByAlias(call: Call, aliasName: string, accountId: string): KeyRecord | undefined {
  const { keys } = call.services;
  const alias = keys.findAlias(accountId, call.region, aliasName);
  return alias && keys.findKey(accountId, call.region, alias.targetKeyId);
}
