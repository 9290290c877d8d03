/**
 * Grant tokens: the name of a grant, sealed, so that it can be used before every replica has heard of the grant.
 *
 * Source of the rule: KMS Developer Guide, "Grant token". A token says which grant to look at and allows nothing by itself.
 */
import { AwsError } from '../aws-error.js';
import { isJsonObject } from '../http/json-body.js';
import type { GrantRecord } from '../keys/grant-record.js';
import type { MaterialVault } from '../keys/material-vault.js';
import type { Call } from './call.js';

type GrantName = Pick<GrantRecord, 'accountId' | 'region' | 'keyId' | 'grantId'>;

const LABEL = 'grant';

/** A new token for a grant: every one is different, and all are as good. */
export function createGrantToken(
  vault: MaterialVault,
  { accountId, region, keyId, grantId }: GrantName,
): string {
  const name: GrantName = { accountId, region, keyId, grantId };
  return vault.sealToken(LABEL, Buffer.from(JSON.stringify(name))).toString('base64');
}

/** @throws AwsError InvalidGrantTokenException when the token was not made here */
export function readGrantToken(vault: MaterialVault, token: string): GrantName {
  const sealed = Buffer.from(token, 'base64');
  const content = sealed.toString('base64') === token ? vault.openToken(LABEL, sealed) : undefined;
  const name: unknown = content && JSON.parse(content.toString());
  if (isJsonObject(name)) {
    const { accountId, region, keyId, grantId } = name;
    if (
      typeof accountId === 'string' &&
      typeof region === 'string' &&
      typeof keyId === 'string' &&
      typeof grantId === 'string'
    ) {
      return { accountId, region, keyId, grantId };
    }
  }
  throw new AwsError('InvalidGrantTokenException');
}

/** Brings the grants of a request's GrantTokens into memory, where decisions look. @throws AwsError InvalidGrantTokenException */
export async function useGrantTokens(call: Call, tokens: readonly string[]): Promise<void> {
  const { vault, keys } = call.services;
  for (const token of tokens) await keys.fetchGrant(readGrantToken(vault, token));
}
