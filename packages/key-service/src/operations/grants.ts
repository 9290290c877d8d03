/** CreateGrant, ListGrants, ListRetirableGrants, RetireGrant, RevokeGrant. */
import { accessDenied, decideAccess } from '../access/authorizer.js';
import { granteeNames } from '../access/grants.js';
import { accountRootArn } from '../access/principals.js';
import { AwsError } from '../aws-error.js';
import {
  type GrantConstraints,
  type GrantRecord,
  type GrantRequest,
  grantTwinDigest,
} from '../keys/grant-record.js';
import { keyArn, parseKeyReference } from '../keys/key-id.js';
import { arnOf, type KeyRecord } from '../keys/key-record.js';
import { list, required, string, structure } from '../validation/members.js';
import * as shapes from '../validation/shapes.js';
import { accountOf, type Call, noteEventData } from './call.js';
import {
  checkConstraints,
  checkGrantees,
  checkOperations,
  GRANT_OPERATIONS,
  refuseContextOfOtherKeys,
} from './grant-rules.js';
import { createGrantToken, readGrantToken } from './grant-tokens.js';
import { accessWithoutKey, aliasNotSupported, keyAccess, noteKey, openKey } from './key-access.js';
import { epochSeconds } from './key-metadata.js';
import {
  defineAccountOperation,
  defineKeyOperation,
  defineSelfAuthorizingOperation,
  refuseDryRun,
} from './operation.js';
import { page } from './pages.js';

/** KMS quota: grants of one key. */
const MAX_GRANTS = 50_000;

const PRINCIPAL_PATTERN = '^[\\w+=,.@:/-]+$';
const principalId = string({
  min: 1,
  max: 256,
  pattern: new RegExp(PRINCIPAL_PATTERN),
  patternText: PRINCIPAL_PATTERN,
});
const servicePrincipal = string({ min: 1, max: 256 });
const grantId = string({ min: 1, max: 128 });
const GRANT_NAME_PATTERN = '^[a-zA-Z0-9:/_-]+$';
const LIST_LIMITS = { defaultSize: 50, maxSize: 100 };

export const createGrant = defineSelfAuthorizingOperation({
  name: 'CreateGrant',
  authorizes: 'itself',
  readOnly: false,
  input: {
    KeyId: required(shapes.keyId),
    GranteePrincipal: principalId,
    GranteeServicePrincipal: servicePrincipal,
    RetiringPrincipal: principalId,
    RetiringServicePrincipal: servicePrincipal,
    Operations: required(list(GRANT_OPERATIONS)),
    Constraints: structure({
      EncryptionContextEquals: shapes.encryptionContext,
      EncryptionContextSubset: shapes.encryptionContext,
      SourceArn: string({ min: 20, max: 2048 }),
    }),
    GrantTokens: shapes.grantTokens,
    Name: string({
      min: 1,
      max: 256,
      pattern: new RegExp(GRANT_NAME_PATTERN),
      patternText: GRANT_NAME_PATTERN,
    }),
    DryRun: shapes.dryRun,
  },
  check(input) {
    checkGrantees(input);
    if (input.Operations.length === 0) {
      throw new AwsError('ValidationException', 'Grants must contain at least one operation.');
    }
    if (input.Operations.every((operation) => operation === 'CreateGrant')) {
      throw new AwsError('ValidationException', 'Grants must not contain only the CreateGrant operation.');
    }
    checkConstraints(input.Constraints ?? {});
  },
  async run(call, input) {
    const { vault } = call.services;
    const key = await openKey(call, input.KeyId, 'kms:CreateGrant', {
      aliases: false,
      crossAccount: true,
      states: 'enabled',
    });
    refuseContextOfOtherKeys(key, input.Constraints ?? {});
    checkOperations(key, input.Operations);
    for (const arn of [input.GranteePrincipal, input.RetiringPrincipal]) checkPrincipalExists(call, arn);
    refuseDryRun(input);

    const { Constraints: constraints } = input;
    const wanted: GrantRequest = {
      accountId: key.accountId,
      region: key.region,
      keyId: key.keyId,
      issuingAccount: accountRootArn(accountOf(call)),
      operations: [...new Set(input.Operations)],
      ...(input.Name === undefined ? {} : { name: input.Name }),
      ...(input.GranteePrincipal === undefined ? {} : { granteePrincipal: input.GranteePrincipal }),
      ...(input.GranteeServicePrincipal === undefined
        ? {}
        : { granteeServicePrincipal: input.GranteeServicePrincipal }),
      ...(input.RetiringPrincipal === undefined ? {} : { retiringPrincipal: input.RetiringPrincipal }),
      ...(input.RetiringServicePrincipal === undefined
        ? {}
        : { retiringServicePrincipal: input.RetiringServicePrincipal }),
      ...(constraints === undefined || Object.keys(constraints).length === 0
        ? {}
        : { constraints: constraints as GrantConstraints }),
    };
    const grant = findTwin(call, key, wanted) ?? (await storeGrant(call, key, wanted));
    return { GrantId: grant.grantId, GrantToken: createGrantToken(vault, grant) };
  },
});

export const listGrants = defineKeyOperation({
  name: 'ListGrants',
  action: 'kms:ListGrants',
  readOnly: true,
  key: { aliases: false, crossAccount: true, states: 'any' },
  input: {
    KeyId: required(shapes.keyId),
    Limit: shapes.limit,
    Marker: shapes.marker,
    GrantId: grantId,
    GranteePrincipal: principalId,
    GranteeServicePrincipal: servicePrincipal,
  },
  run(call, input, key) {
    const grants = [...call.services.keys.grants.ofKey(key).values()].filter(
      (grant) =>
        (input.GrantId === undefined || grant.grantId === input.GrantId) &&
        (input.GranteePrincipal === undefined || grant.granteePrincipal === input.GranteePrincipal) &&
        (input.GranteeServicePrincipal === undefined ||
          grant.granteeServicePrincipal === input.GranteeServicePrincipal),
    );
    return pageOfGrants('ListGrants', input, grants);
  },
});

export const listRetirableGrants = defineAccountOperation({
  name: 'ListRetirableGrants',
  action: 'kms:ListRetirableGrants',
  readOnly: true,
  input: {
    Limit: shapes.limit,
    Marker: shapes.marker,
    RetiringPrincipal: principalId,
    RetiringServicePrincipal: servicePrincipal,
  },
  check({ RetiringPrincipal, RetiringServicePrincipal }) {
    if ((RetiringPrincipal === undefined) === (RetiringServicePrincipal === undefined)) {
      throw new AwsError(
        'ValidationException',
        'You must specify either RetiringPrincipal or RetiringServicePrincipal, but not both.',
      );
    }
  },
  run(call, input) {
    checkPrincipalExists(call, input.RetiringPrincipal);
    const arn = input.RetiringPrincipal ?? '';
    // A service principal's grants are listed to the service alone, which never calls here.
    if (arn.split(':')[4] !== accountOf(call)) {
      throw accessDenied(accessWithoutKey(call, 'kms:ListRetirableGrants', '*'), 'no-identity');
    }
    return pageOfGrants('ListRetirableGrants', input, [
      ...call.services.keys.grants.ofRetiringPrincipal(call.region, arn),
    ]);
  },
});

export const retireGrant = defineSelfAuthorizingOperation({
  name: 'RetireGrant',
  authorizes: 'itself',
  readOnly: false,
  input: {
    GrantToken: string({ min: 1, max: 8192 }),
    KeyId: shapes.keyId,
    GrantId: grantId,
    DryRun: shapes.dryRun,
  },
  check({ GrantToken, KeyId, GrantId }) {
    const byToken = GrantToken !== undefined && KeyId === undefined && GrantId === undefined;
    const byId = GrantToken === undefined && KeyId !== undefined && GrantId !== undefined;
    if (!byToken && !byId) {
      throw new AwsError('ValidationException', 'Grant token OR (grant ID and key ID) must be specified');
    }
  },
  async run(call, input) {
    const { keys, vault } = call.services;
    const name =
      input.GrantToken === undefined
        ? nameById(call, String(input.KeyId), String(input.GrantId))
        : readGrantToken(vault, input.GrantToken);
    if (name.region !== call.region) throw new AwsError('InvalidGrantTokenException');
    const key = keys.findKey(name.accountId, name.region, name.keyId);
    const grant = key && (await keys.fetchGrant(name));
    if (key !== undefined) noteKey(call, key);
    if (key === undefined || grant === undefined) throw refusedOrAbsent(call, name, key);
    authorizeRetiring(call, key, grant);
    refuseDryRun(input);
    if (!(await keys.deleteGrant(grant))) throw grantNotFound(grant.grantId);
    noteEventData(call, { grantId: grant.grantId });
    return undefined;
  },
});

export const revokeGrant = defineKeyOperation({
  name: 'RevokeGrant',
  action: 'kms:RevokeGrant',
  readOnly: false,
  key: { aliases: false, crossAccount: true, states: 'any' },
  input: { KeyId: required(shapes.keyId), GrantId: required(grantId), DryRun: shapes.dryRun },
  async run(call, { GrantId }, key) {
    const { keys } = call.services;
    const { accountId, region, keyId } = key;
    const grant = await keys.fetchGrant({ accountId, region, keyId, grantId: GrantId });
    if (grant === undefined || !(await keys.deleteGrant(grant))) throw grantNotFound(GrantId);
    return undefined;
  },
});

/** @throws AwsError InvalidArnException */
function checkPrincipalExists(call: Call, arn: string | undefined): void {
  if (arn !== undefined && !call.services.principals.hasPrincipal(arn)) {
    throw new AwsError('InvalidArnException', `ARN does not refer to a valid principal: ${arn}`);
  }
}

/** A grant of the same name and the same parameters: what a repeated request made the first time. */
function findTwin(call: Call, key: KeyRecord, wanted: GrantRequest): GrantRecord | undefined {
  if (wanted.name === undefined) return undefined;
  const digest = grantTwinDigest(wanted);
  for (const grant of call.services.keys.grants.ofKey(key).values()) {
    if (grant.name === wanted.name && grantTwinDigest(grant) === digest) return grant;
  }
  return undefined;
}

async function storeGrant(call: Call, key: KeyRecord, wanted: GrantRequest): Promise<GrantRecord> {
  const { keys } = call.services;
  if (keys.grants.ofKey(key).size >= MAX_GRANTS) {
    throw new AwsError('LimitExceededException', `The KMS key has ${MAX_GRANTS} grants already.`);
  }
  const grantId = call.services.randomBytes(32).toString('hex');
  return keys.createGrant({ ...wanted, grantId, creationDateMs: call.nowMs });
}

function pageOfGrants(
  operation: string,
  input: { readonly Limit: number | undefined; readonly Marker: string | undefined },
  grants: readonly GrantRecord[],
): Readonly<Record<string, unknown>> {
  const byName = new Map(grants.map((grant) => [`${grant.keyId}/${grant.grantId}`, grant]));
  const sorted = [...byName.keys()].toSorted();
  const { names, tail } = page(operation, input, LIST_LIMITS, (after, count) =>
    sorted.filter((name) => after === undefined || name > after).slice(0, count),
  );
  return { Grants: names.map((name) => describe(byName.get(name) as GrantRecord)), ...tail };
}

function describe(grant: GrantRecord): Readonly<Record<string, unknown>> {
  const { constraints, granteePrincipal, granteeServicePrincipal } = grant;
  const { retiringPrincipal, retiringServicePrincipal } = grant;
  return {
    ...(constraints === undefined ? {} : { Constraints: constraints }),
    CreationDate: epochSeconds(grant.creationDateMs),
    GrantId: grant.grantId,
    ...(granteePrincipal === undefined ? {} : { GranteePrincipal: granteePrincipal }),
    ...(granteeServicePrincipal === undefined ? {} : { GranteeServicePrincipal: granteeServicePrincipal }),
    IssuingAccount: grant.issuingAccount,
    KeyId: keyArn(grant.region, grant.accountId, grant.keyId),
    Name: grant.name ?? '',
    Operations: grant.operations,
    ...(retiringPrincipal === undefined ? {} : { RetiringPrincipal: retiringPrincipal }),
    ...(retiringServicePrincipal === undefined ? {} : { RetiringServicePrincipal: retiringServicePrincipal }),
  };
}

type GrantName = Pick<GrantRecord, 'accountId' | 'region' | 'keyId' | 'grantId'>;

function nameById(call: Call, keyId: string, id: string): GrantName {
  const reference = parseKeyReference(keyId);
  if (reference.kind === 'malformed-arn') throw new AwsError('InvalidArnException', `Invalid arn ${keyId}`);
  if (reference.kind === 'alias') throw aliasNotSupported();
  if (reference.kind === 'malformed-id') {
    throw new AwsError('NotFoundException', `Invalid keyId ${reference.shown}`);
  }
  const { region, accountId } = reference.scope ?? { region: call.region, accountId: accountOf(call) };
  if (region !== call.region) throw new AwsError('NotFoundException', `Invalid arn ${region}`);
  return { accountId, region, keyId: reference.keyId, grantId: id };
}

/** Whether a grant exists is told only to those of the key's account who may retire grants. */
function refusedOrAbsent(call: Call, name: GrantName, key: KeyRecord | undefined): AwsError {
  const arn = keyArn(name.region, name.accountId, name.keyId);
  const access =
    key === undefined
      ? accessWithoutKey(call, 'kms:RetireGrant', arn)
      : keyAccess(call, key, 'kms:RetireGrant');
  const { outcome } = decideAccess(access);
  if (name.accountId !== accountOf(call)) {
    const seen = { ...access, resourceAccountId: name.accountId };
    return accessDenied(seen, outcome === 'allow' || key === undefined ? 'no-resource' : outcome);
  }
  if (key === undefined && outcome !== 'allow') return accessDenied(access, outcome);
  return key === undefined
    ? new AwsError('NotFoundException', `Key '${arn}' does not exist`)
    : grantNotFound(name.grantId);
}

/**
 * The grant itself names who may retire it: its retiring principal, and its grantee when RetireGrant is among its operations.
 * Policies may allow others, and may deny everybody.
 */
function authorizeRetiring(call: Call, key: KeyRecord, grant: GrantRecord): void {
  const access = keyAccess(call, key, 'kms:RetireGrant');
  const { outcome } = decideAccess(access);
  if (outcome === 'allow') return;
  if (!outcome.startsWith('deny')) {
    const byIdentity = decideAccess(accessWithoutKey(call, 'kms:RetireGrant', arnOf(key))).outcome;
    for (const [name, match] of granteeNames(call.principal)) {
      const named =
        grant.retiringPrincipal === name ||
        (grant.granteePrincipal === name && grant.operations.includes('RetireGrant'));
      if (named && (match !== 'account' || byIdentity === 'allow')) return;
    }
  }
  throw accessDenied(access, outcome);
}

function grantNotFound(id: string): AwsError {
  return new AwsError('NotFoundException', `Grant ID ${id} not found`);
}
