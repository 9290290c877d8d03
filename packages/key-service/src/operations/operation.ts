/**
 * An operation as data: name, input constraints, key rule, authorisation action, handler.
 *
 * `defineOperation` ties them together in the order AWS works: constraints, then the key, then permission, then the key's
 * state, then DryRun, then the work.
 */
import { AwsError } from '../aws-error.js';
import type { JsonObject } from '../http/json-body.js';
import type { KeyRecord } from '../keys/key-record.js';
import type { KeyUsage } from '../keys/key-specs.js';
import type { KeyStateRule } from '../keys/key-states.js';
import { type InputOf, type Members, readInput } from '../validation/members.js';
import type { Call } from './call.js';
import { useGrantTokens } from './grant-tokens.js';
import { authorizeWithoutKey, openKey } from './key-access.js';

/** Members of an answer; undefined: success without a body. */
export type Output = Readonly<Record<string, unknown>> | undefined;

/** What a key must be for an operation to use it. */
export interface KeyUseRule {
  /** Absent: keys of every usage. */
  readonly usage?: KeyUsage;
  readonly states: KeyStateRule;
}

export interface KeyRule extends KeyUseRule {
  /** True: KeyId may be an alias name or alias ARN. */
  readonly aliases: boolean;
  /** True: KeyId may name a key of another account. */
  readonly crossAccount: boolean;
}

interface OperationCommon<M extends Members> {
  readonly name: string;
  readonly input: M;
  /** CloudTrail's readOnly: true when nothing is changed. */
  readonly readOnly: boolean;
  /** Rules between members, checked before any key is looked for. */
  readonly check?: (input: InputOf<M>) => void;
}

/** Works on the key its KeyId member names. */
export interface KeyOperation<M extends Members> extends OperationCommon<M> {
  /** `kms:Encrypt`. */
  readonly action: string;
  readonly key: KeyRule;
  /** What the request asks of this very key (an algorithm of its spec), checked in a dry run too. */
  readonly checkKey?: (input: InputOf<M>, key: KeyRecord) => void;
  readonly run: (call: Call, input: InputOf<M>, key: KeyRecord) => Output | Promise<Output>;
}

/** Works on no key: decided by identity policies alone. */
export interface AccountOperation<M extends Members> extends OperationCommon<M> {
  readonly action: string;
  readonly run: (call: Call, input: InputOf<M>) => Output | Promise<Output>;
}

/** Finds its keys itself and asks for permission itself (aliases, ciphertexts). */
export interface SelfAuthorizingOperation<M extends Members> extends OperationCommon<M> {
  readonly authorizes: 'itself';
  readonly run: (call: Call, input: InputOf<M>) => Output | Promise<Output>;
}

/** What the protocol sees: types of the input are inside. */
export interface Operation {
  readonly name: string;
  readonly readOnly: boolean;
  /** @throws AwsError */
  execute(call: Call, body: JsonObject): Promise<Output>;
}

type KeyedMembers = Members & { readonly KeyId: Members[string] };

export function defineKeyOperation<M extends KeyedMembers>(operation: KeyOperation<M>): Operation {
  return define(operation, async (call, input) => {
    const key = await openKey(call, String(input.KeyId), operation.action, operation.key);
    operation.checkKey?.(input, key);
    refuseDryRun(input);
    return operation.run(call, input, key);
  });
}

export function defineAccountOperation<M extends Members>(operation: AccountOperation<M>): Operation {
  return define(operation, (call, input) => {
    authorizeWithoutKey(call, operation.action, '*');
    return operation.run(call, input);
  });
}

export function defineSelfAuthorizingOperation<M extends Members>(
  operation: SelfAuthorizingOperation<M>,
): Operation {
  return define(operation, operation.run);
}

/** DryRun succeeded: every check is done and nothing else must be. */
export function refuseDryRun(input: object): undefined {
  if ('DryRun' in input && input.DryRun === true) {
    throw new AwsError(
      'DryRunOperationException',
      'The request would have succeeded, but the DryRun option is set.',
    );
  }
}

function define<M extends Members>(
  { name, readOnly, input: members, check }: OperationCommon<M>,
  run: (call: Call, input: InputOf<M>) => Output | Promise<Output>,
): Operation {
  return {
    name,
    readOnly,
    async execute(call, body) {
      const input = readInput(members, body);
      call.input = input;
      check?.(input);
      if ('GrantTokens' in input) await useGrantTokens(call, input['GrantTokens'] as readonly string[]);
      return run(call, input);
    },
  };
}
