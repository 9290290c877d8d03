/**
 * A key under a known alias, made in the process itself: what a fresh installation needs before its first caller.
 *
 * It runs the same operations a caller would, as the account's root, and leaves the same audit records.
 */
import { AwsError } from './aws-error.js';
import type { CallRecorder } from './http/call-recorder.js';
import type { JsonObject } from './http/json-body.js';
import { aliasArn, keyArn } from './keys/key-id.js';
import { createAlias } from './operations/aliases.js';
import type { Call, KeyServices } from './operations/call.js';
import { createKey } from './operations/keys.js';
import type { Operation } from './operations/operation.js';
import { runAsRoot } from './run-as-root.js';

export interface EnsureKeyRequest {
  readonly accountId: string;
  readonly region: string;
  /** With its `alias/` prefix. */
  readonly aliasName: string;
  /** Of the key, if it has to be made. */
  readonly description?: string;
}

export interface EnsuredKey {
  readonly keyId: string;
  readonly keyArn: string;
  readonly aliasArn: string;
  readonly created: boolean;
}

/** @throws AwsError when the alias points to a key that is gone, or a name breaks a rule */
export async function ensureKey(
  services: KeyServices,
  recorder: CallRecorder,
  { accountId, region, aliasName, description = '' }: EnsureKeyRequest,
): Promise<EnsuredKey> {
  const answer = (keyId: string, created: boolean): EnsuredKey => ({
    keyId,
    keyArn: keyArn(region, accountId, keyId),
    aliasArn: aliasArn(region, accountId, aliasName),
    created,
  });
  const alias = services.keys.findAlias(accountId, region, aliasName);
  if (alias !== undefined) return answer(alias.targetKeyId, false);

  const run = (operation: Operation, input: JsonObject): Promise<Call> =>
    runAsRoot(services, recorder, operation, { accountId, region }, input);
  const call = await run(createKey, { Description: description });
  const keyId = call.resources[0]?.arn.split('/')[1];
  if (keyId === undefined) throw new AwsError('KMSInternalException', 'The new key has no id.');
  await run(createAlias, { AliasName: aliasName, TargetKeyId: keyId });
  return answer(keyId, true);
}
