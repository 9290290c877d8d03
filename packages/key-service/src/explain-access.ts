/**
 * Why a principal may or may not do something: the same decision the service makes, with the statements that made it.
 *
 * Nothing is called and nothing changes: it reads the stored keys and grants (or the fixed keys of a configuration) and the
 * principals. No key material is opened, so no root key is needed.
 */
import type { Store } from '@waxseal/storage';
import type { Logger } from 'pino';
import { type AccessOutcome, decideAccess, type DecidedBy } from './access/authorizer.js';
import { findAllowingGrant } from './access/grants.js';
import { compileStoredKeyPolicy, defaultKeyPolicy } from './access/policy.js';
import type { Principal, PrincipalDirectory } from './access/principals.js';
import { KeyServiceError } from './errors.js';
import { isJsonObject, type JsonObject } from './http/json-body.js';
import { GrantIndex } from './keys/grant-index.js';
import { parseKeyReference } from './keys/key-id.js';
import { arnOf, type KeyRecord } from './keys/key-record.js';
import { KeyStore } from './keys/key-store.js';
import type { KeySeed } from './keys/seed-file.js';
import { createConditionContext, encryptionContextOf } from './operations/condition-context.js';
import { OPERATIONS } from './operations/table.js';

export interface AccessQuestion {
  /** ARN of a user, a role, a session of a role, or an account's root. */
  readonly principal: string;
  /** `kms:Encrypt`. */
  readonly action: string;
  /** Id, ARN, alias or alias ARN; absent for actions on no key (`kms:CreateKey`). */
  readonly keyId?: string;
  /** Where the call would be made. */
  readonly region: string;
  readonly encryptionContext?: Readonly<Record<string, string>>;
  /** Other condition keys of the call, e.g. `aws:SourceIp`. */
  readonly conditionKeys?: Readonly<Record<string, string>>;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

export interface AccessExplanation {
  readonly allowed: boolean;
  readonly outcome: AccessOutcome;
  readonly principal: string;
  readonly action: string;
  /** ARN of the key, or `*`. */
  readonly resource: string;
  /** What decided, in one sentence. */
  readonly reason: string;
  readonly decidedBy: readonly {
    readonly source: DecidedBy['kind'];
    readonly policy?: string;
    /** Position in the policy, from 1. */
    readonly statement?: number;
    readonly sid?: string;
    readonly effect?: 'Allow' | 'Deny';
    readonly grantId?: string;
  }[];
}

/** What explanations are drawn from: the keys that exist, and their aliases and grants. */
export interface AccessFacts {
  readonly keys: Pick<KeyStore, 'findKey' | 'findAlias'> & {
    readonly grants: Pick<GrantIndex, 'ofGrantee'>;
    aliasNamesOf(key: KeyRecord): readonly string[];
  };
  close(): void;
}

/** @throws KeyServiceError store-corrupt; StoreError */
export async function openAccessFacts(store: Store, logger: Logger): Promise<AccessFacts> {
  return accessFactsOf(await KeyStore.open(store, logger, () => undefined));
}

/** Of a service that runs; close() ends the key store. */
export function accessFactsOf(keys: KeyStore): AccessFacts {
  return {
    keys: {
      findKey: (...name) => keys.findKey(...name),
      findAlias: (...name) => keys.findAlias(...name),
      grants: keys.grants,
      aliasNamesOf: (key) => keys.aliasesOfKey(key)?.after(undefined, Number.POSITIVE_INFINITY) ?? [],
    },
    close: () => keys.close(),
  };
}

/** The facts of a configuration alone: its fixed keys, as they are before anybody changes them. */
export function accessFactsOfSeeds(seeds: readonly KeySeed[]): AccessFacts {
  const at = ({ accountId, region }: { readonly accountId: string; readonly region: string }) =>
    `${accountId}/${region}`;
  const keys = new Map(seeds.map((seed) => [`${at(seed)}/${seed.keyId}`, recordOfSeed(seed)]));
  const aliases = new Map(
    seeds.flatMap((seed) =>
      seed.aliasName === undefined ? [] : [[`${at(seed)}/${seed.aliasName}`, seed] as const],
    ),
  );
  return {
    keys: {
      findKey: (accountId, region, keyId) => keys.get(`${accountId}/${region}/${keyId}`),
      findAlias(accountId, region, aliasName) {
        const seed = aliases.get(`${accountId}/${region}/${aliasName}`);
        if (seed === undefined) return undefined;
        const dates = { creationDateMs: 0, lastUpdatedDateMs: 0 };
        return { accountId, region, aliasName, targetKeyId: seed.keyId, ...dates };
      },
      grants: new GrantIndex(),
      aliasNamesOf: ({ accountId, region, keyId }) =>
        seeds.flatMap((seed) =>
          at(seed) === `${accountId}/${region}` && seed.keyId === keyId && seed.aliasName !== undefined
            ? [seed.aliasName]
            : [],
        ),
    },
    close: () => undefined,
  };
}

function recordOfSeed(seed: KeySeed): KeyRecord {
  const { accountId, region, keyId, keySpec, keyUsage, origin } = seed;
  return {
    accountId,
    region,
    keyId,
    keySpec,
    keyUsage,
    origin,
    creationDateMs: 0,
    description: seed.description ?? '',
    state: { kind: 'Enabled' },
    policy: seed.policy ?? defaultKeyPolicy(accountId),
    tags: seed.tags ?? [],
    materials: [],
  };
}

/** @throws KeyServiceError invalid-option when the principal or key is not there, or the action is none */
export function explainAccess(
  facts: AccessFacts,
  principals: PrincipalDirectory,
  question: AccessQuestion,
): AccessExplanation {
  const { action } = question;
  refuseUnknownAction(action);
  const principal = principals.findPrincipal(question.principal);
  if (principal === undefined) {
    throw new KeyServiceError(
      'invalid-option',
      `There is no principal ${question.principal}. Name a user, role, session or account root of the principals file by its ARN.`,
    );
  }
  const key = question.keyId === undefined ? undefined : findKey(facts, principal, question.keyId, question);
  const resourceAccountId = key?.accountId ?? principal.accountId;
  const input = {
    ...(question.keyId === undefined ? {} : { KeyId: question.keyId }),
    EncryptionContext: question.encryptionContext,
    SourceEncryptionContext: question.encryptionContext,
    DestinationEncryptionContext: question.encryptionContext,
  };
  const common = createConditionContext(action, {
    principal,
    region: key?.region ?? question.region,
    nowMs: question.nowMs,
    secureTransport: true,
    input,
    key,
    resourceAccountId,
    aliasNames: () => (key === undefined ? [] : facts.keys.aliasNamesOf(key)),
  });
  const given = new Map(
    Object.entries(question.conditionKeys ?? {}).map(([name, value]) => [name.toLowerCase(), [value]]),
  );
  const context = { values: (name: string) => given.get(name) ?? common.values(name) };
  const resource = key === undefined ? '*' : arnOf(key);
  const { outcome, by } = decideAccess({
    principal,
    action,
    resource,
    resourceAccountId,
    context,
    ...(key === undefined
      ? {}
      : {
          resourcePolicy: compileStoredKeyPolicy(key.policy),
          findGrant: () =>
            findAllowingGrant((grantee) => facts.keys.grants.ofGrantee(key, grantee), {
              principal,
              action,
              context,
              encryptionContext: encryptionContextOf(action, input),
            }),
        }),
  });
  return {
    allowed: outcome === 'allow',
    outcome,
    principal: principal.arn,
    action,
    resource,
    reason: REASONS[outcome],
    decidedBy: by.map(describe),
  };
}

/** `kms:*` would allow what does not exist, and a misspelt action would look allowed. */
function refuseUnknownAction(action: string): void {
  const known = /^kms:/i.test(action)
    ? KMS_ACTIONS.has(action.slice(4).toLowerCase())
    : /^(?:sts|cloudtrail):\w+$/i.test(action);
  if (known) return;
  throw new KeyServiceError(
    'invalid-option',
    `${action} is no action of KMS, STS or CloudTrail. Write it like kms:Decrypt; ReEncrypt is decided as kms:ReEncryptFrom and kms:ReEncryptTo.`,
  );
}

/** In lower case: actions are compared without regard to case. ReEncrypt has two of its own. */
const KMS_ACTIONS: ReadonlySet<string> = new Set(
  [...OPERATIONS.keys(), 'ReEncryptFrom', 'ReEncryptTo']
    .filter((name) => name !== 'ReEncrypt')
    .map((name) => name.toLowerCase()),
);

/** A question that came as JSON. @throws KeyServiceError invalid-option */
export function parseAccessQuestion(request: JsonObject, nowMs: number): AccessQuestion {
  const text = (name: string): string | undefined => {
    const value = request[name];
    if (value === undefined || typeof value === 'string') return value;
    throw new KeyServiceError('invalid-option', `${name} is a string.`);
  };
  const texts = (name: string): Readonly<Record<string, string>> | undefined => {
    const value = request[name];
    if (value === undefined) return undefined;
    const entries = isJsonObject(value) ? Object.entries(value) : undefined;
    if (entries?.every((entry): entry is [string, string] => typeof entry[1] === 'string') === true) {
      return Object.fromEntries(entries);
    }
    throw new KeyServiceError('invalid-option', `${name} is an object of strings.`);
  };
  const [principal, action, region, keyId] = [
    text('principal'),
    text('action'),
    text('region'),
    text('keyId'),
  ];
  if (principal === undefined || action === undefined || region === undefined) {
    throw new KeyServiceError('invalid-option', 'A question names its principal, action and region.');
  }
  const [encryptionContext, conditionKeys] = [texts('encryptionContext'), texts('conditionKeys')];
  return {
    principal,
    action,
    region,
    nowMs,
    ...(keyId === undefined ? {} : { keyId }),
    ...(encryptionContext === undefined ? {} : { encryptionContext }),
    ...(conditionKeys === undefined ? {} : { conditionKeys }),
  };
}

const REASONS: { readonly [Outcome in AccessOutcome]: string } = {
  allow: 'Allowed by the statements below; no statement denies it.',
  'deny-identity': 'An identity policy denies it. An explicit deny wins over every allow.',
  'deny-session': 'The session policy denies it. An explicit deny wins over every allow.',
  'deny-resource': 'The key policy denies it. An explicit deny wins over every allow.',
  'deny-boundary': 'The permissions boundary denies it. An explicit deny wins over every allow.',
  'deny-service-control':
    'A service control policy of the account denies it. An explicit deny wins over every allow.',
  'no-identity':
    'No identity policy of the principal allows it, and the key policy does not name the principal itself in its own account.',
  'no-boundary': 'The permissions boundary does not allow it.',
  'no-service-control': 'No service control policy of the account allows it.',
  'no-session': 'The session policy does not allow it.',
  'no-resource':
    'No statement of the key policy allows it, and no grant does. Identity policies count only where the key policy names the account.',
};

function describe(by: DecidedBy): AccessExplanation['decidedBy'][number] {
  if (by.kind === 'root') return { source: 'root' };
  if (by.kind === 'grant') return { source: 'grant', grantId: by.grantId };
  const { index, sid, effect } = by.statement;
  return {
    source: by.kind,
    policy: by.policy,
    statement: index + 1,
    ...(sid === undefined ? {} : { sid }),
    effect,
  };
}

function findKey(
  { keys }: AccessFacts,
  principal: Principal,
  keyId: string,
  { region }: AccessQuestion,
): KeyRecord {
  const reference = parseKeyReference(keyId);
  const found = ((): KeyRecord | undefined => {
    if (reference.kind !== 'key' && reference.kind !== 'alias') return undefined;
    const scope = reference.scope ?? { region, accountId: principal.accountId };
    const id =
      reference.kind === 'key'
        ? reference.keyId
        : keys.findAlias(scope.accountId, scope.region, reference.aliasName)?.targetKeyId;
    return id === undefined ? undefined : keys.findKey(scope.accountId, scope.region, id);
  })();
  if (found === undefined) {
    throw new KeyServiceError(
      'invalid-option',
      `There is no key ${keyId} in ${region}. Name it by its ARN when it is in another account or Region.`,
    );
  }
  return found;
}
