/**
 * CreateAlias, UpdateAlias, DeleteAlias, ListAliases.
 *
 * An alias has no policy of its own: changing one needs permission on the alias (identity policies) and on every key it
 * points to or will point to (KMS Developer Guide, "Controlling access to aliases").
 */
import { AwsError } from '../aws-error.js';
import { aliasArn, parseKeyReference } from '../keys/key-id.js';
import type { AliasRecord, KeyRecord } from '../keys/key-record.js';
import { isAsymmetric } from '../keys/key-specs.js';
import type { KeyStateRule } from '../keys/key-states.js';
import { required } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { accountOf, type Call } from './call.js';
import { authorizeWithoutKey, openKey, useKey } from './key-access.js';
import { epochSeconds } from './key-metadata.js';
import { defineAccountOperation, defineSelfAuthorizingOperation } from './operation.js';
import { page } from './pages.js';

const PREFIX_RULE =
  'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html';

/** What CreateAlias and UpdateAlias have in common. */
const pointsAliasToKey = {
  authorizes: 'itself',
  readOnly: false,
  input: { AliasName: required(shapes.aliasName), TargetKeyId: required(shapes.keyId) },
  check: ({ AliasName, TargetKeyId }: { readonly AliasName: string; readonly TargetKeyId: string }): void => {
    checkAliasName(AliasName);
    refuseAliasAsTarget(TargetKeyId);
  },
} as const;

export const createAlias = defineSelfAuthorizingOperation({
  name: 'CreateAlias',
  ...pointsAliasToKey,
  async run(call, { AliasName, TargetKeyId }) {
    authorizeAlias(call, 'kms:CreateAlias', AliasName);
    const key = await openTarget(call, TargetKeyId, 'kms:CreateAlias');
    const created = await call.services.keys.createAlias({
      accountId: key.accountId,
      region: key.region,
      aliasName: AliasName,
      targetKeyId: key.keyId,
      creationDateMs: call.nowMs,
      lastUpdatedDateMs: call.nowMs,
    });
    if (!created) {
      const arn = aliasArn(key.region, key.accountId, AliasName);
      throw new AwsError('AlreadyExistsException', `An alias with the name ${arn} already exists`);
    }
    return undefined;
  },
});

export const updateAlias = defineSelfAuthorizingOperation({
  name: 'UpdateAlias',
  ...pointsAliasToKey,
  async run(call, { AliasName, TargetKeyId }) {
    authorizeAlias(call, 'kms:UpdateAlias', AliasName);
    const alias = findAlias(call, AliasName);
    const before = usePresentTarget(call, alias, 'kms:UpdateAlias');
    const key = await openTarget(call, TargetKeyId, 'kms:UpdateAlias');
    if (before !== undefined) checkReplaceable(before, key);
    const updated = await call.services.keys.updateAlias({
      ...alias,
      targetKeyId: key.keyId,
      lastUpdatedDateMs: call.nowMs,
    });
    if (!updated) throw aliasNotFound(call, AliasName);
    return undefined;
  },
});

export const deleteAlias = defineSelfAuthorizingOperation({
  name: 'DeleteAlias',
  authorizes: 'itself',
  readOnly: false,
  input: { AliasName: required(shapes.aliasName) },
  check: ({ AliasName }) => checkAliasName(AliasName),
  async run(call, { AliasName }) {
    authorizeAlias(call, 'kms:DeleteAlias', AliasName);
    const alias = findAlias(call, AliasName);
    usePresentTarget(call, alias, 'kms:DeleteAlias');
    if (!(await call.services.keys.deleteAlias(alias))) throw aliasNotFound(call, AliasName);
    return undefined;
  },
});

export const listAliases = defineAccountOperation({
  name: 'ListAliases',
  action: 'kms:ListAliases',
  readOnly: true,
  input: { KeyId: shapes.keyId, Limit: shapes.limit, Marker: shapes.marker },
  async run(call, input) {
    const { keys } = call.services;
    const accountId = accountOf(call);
    const key =
      input.KeyId === undefined
        ? undefined
        : await openKey(call, input.KeyId, 'kms:ListAliases', {
            aliases: false,
            crossAccount: false,
            states: 'any',
          });
    const candidates = key === undefined ? keys.aliasNames(accountId, call.region) : keys.aliasesOfKey(key);
    const { names, tail } = page('ListAliases', input, { defaultSize: 50, maxSize: 100 }, (name, count) =>
      candidates === undefined ? [] : candidates.after(name, count),
    );
    const Aliases = names.flatMap((aliasName) => {
      const alias = keys.findAlias(accountId, call.region, aliasName);
      return alias === undefined ? [] : [describeAlias(alias)];
    });
    return { Aliases, ...tail };
  },
});

function describeAlias(alias: AliasRecord): Readonly<Record<string, unknown>> {
  return {
    AliasArn: aliasArn(alias.region, alias.accountId, alias.aliasName),
    AliasName: alias.aliasName,
    CreationDate: epochSeconds(alias.creationDateMs),
    LastUpdatedDate: epochSeconds(alias.lastUpdatedDateMs),
    TargetKeyId: alias.targetKeyId,
  };
}

function checkAliasName(aliasName: string): void {
  if (!aliasName.startsWith('alias/')) throw new AwsError('ValidationException', PREFIX_RULE);
  if (aliasName.startsWith('alias/aws/')) throw new AwsError('NotAuthorizedException');
  if (aliasName.includes(':')) {
    throw new AwsError('ValidationException', `${aliasName} contains invalid characters for an alias`);
  }
  if (aliasName === 'alias/') throw new AwsError('InvalidAliasNameException', 'The alias name is empty.');
}

function refuseAliasAsTarget(targetKeyId: string): void {
  if (parseKeyReference(targetKeyId).kind === 'alias') {
    throw new AwsError('ValidationException', 'Aliases must refer to keys. Not aliases');
  }
}

function authorizeAlias(call: Call, action: string, aliasName: string): void {
  const arn = aliasArn(call.region, accountOf(call), aliasName);
  call.resources.push({ arn, accountId: accountOf(call), type: 'AWS::KMS::Alias' });
  authorizeWithoutKey(call, action, arn);
}

function openTarget(call: Call, targetKeyId: string, action: string): Promise<KeyRecord> {
  const states: KeyStateRule = 'not-pending-deletion';
  return openKey(call, targetKeyId, action, { aliases: false, crossAccount: false, states });
}

/** The key the alias points to now, if it is there. */
function usePresentTarget(call: Call, alias: AliasRecord, action: string): KeyRecord | undefined {
  const key = call.services.keys.findKey(alias.accountId, alias.region, alias.targetKeyId);
  if (key !== undefined) useKey(call, key, action, { states: 'any' });
  return key;
}

/** An alias moves between keys that can stand in for each other only (API reference, UpdateAlias). */
function checkReplaceable(before: KeyRecord, after: KeyRecord): void {
  const sameKind =
    before.keyUsage === after.keyUsage && isAsymmetric(before.keySpec) === isAsymmetric(after.keySpec);
  if (!sameKind) {
    throw new AwsError(
      'ValidationException',
      'The current and new KMS key must be the same type (both symmetric or both asymmetric or both HMAC), and they must have the same key usage. Delete the alias and create it again.',
    );
  }
}

function findAlias(call: Call, aliasName: string): AliasRecord {
  const alias = call.services.keys.findAlias(accountOf(call), call.region, aliasName);
  if (alias === undefined) throw aliasNotFound(call, aliasName);
  return alias;
}

function aliasNotFound(call: Call, aliasName: string): AwsError {
  const arn = aliasArn(call.region, accountOf(call), aliasName);
  return new AwsError('NotFoundException', `Alias ${arn} is not found.`);
}
