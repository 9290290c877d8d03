/**
 * What conditions of policies can ask about a call: who, from where, when, with which parameters, on which key.
 *
 * Source of the rule: KMS Developer Guide, "AWS KMS condition keys", and IAM User Guide, "AWS global condition context keys". Values
 * are worked out when a policy asks for them. Keys that only AWS services set (`kms:ViaService`, `aws:SourceArn`, …) are present
 * for access keys that the configuration gives to a service; whoever else sent them would be pretending.
 */
import type { ConditionContext } from '../access/policy-variables.js';
import type { Principal } from '../access/principals.js';
import { parseKeyReference } from '../keys/key-id.js';
import { arnOf, type KeyRecord } from '../keys/key-record.js';
import type { Call } from './call.js';

/** What the values are taken from; a call, or a question about one (explain-access). */
export interface ConditionSource {
  readonly principal: Principal;
  readonly region: string;
  readonly nowMs: number;
  readonly sourceIpAddress?: string | undefined;
  readonly userAgent?: string | undefined;
  /** False on plain HTTP. */
  readonly secureTransport: boolean;
  readonly service?: CallingService | undefined;
  /** The request's members, by their API names. */
  readonly input: Readonly<Record<string, unknown>>;
  readonly key?: KeyRecord | undefined;
  readonly resourceAccountId: string;
  readonly aliasNames: () => readonly string[];
  /** DisableKey and ScheduleKeyDeletion only. */
  readonly daysWithoutUse?: number | undefined;
  /** ReEncrypt only: whether both of its keys are the same. */
  readonly reEncryptOnSameKey?: (() => boolean | undefined) | undefined;
}

/** A service that calls on behalf of the principal, and what it says it calls for. */
interface CallingService {
  /** `ec2.us-east-1.amazonaws.com`. */
  readonly name: string;
  readonly sourceArn: string | undefined;
  readonly sourceAccount: string | undefined;
}

function callingService({ accessKey, http }: Call): CallingService | undefined {
  if (accessKey.viaService === undefined) return undefined;
  return {
    name: accessKey.viaService,
    sourceArn: http?.headers.get('x-amz-source-arn'),
    sourceAccount: http?.headers.get('x-amz-source-account'),
  };
}

/** `ec2.amazonaws.com` of `ec2.us-east-1.amazonaws.com`: a service without its Region. */
export function servicePrincipal(viaService: string): string {
  return `${viaService.slice(0, viaService.indexOf('.'))}.amazonaws.com`;
}

export function contextOfCall(
  call: Call,
  action: string,
  resourceAccountId: string,
  key?: KeyRecord,
): ConditionContext {
  return createConditionContext(action, {
    principal: call.principal,
    region: call.region,
    nowMs: call.nowMs,
    sourceIpAddress: call.http?.sourceIpAddress,
    userAgent: call.http?.headers.get('user-agent'),
    secureTransport: call.http === undefined || call.http.tls !== undefined,
    service: callingService(call),
    input: call.input ?? {},
    key,
    resourceAccountId,
    daysWithoutUse: call.daysWithoutUse,
    aliasNames: () =>
      (key && call.services.keys.aliasesOfKey(key)?.after(undefined, Number.POSITIVE_INFINITY)) ?? [],
    reEncryptOnSameKey: key && (() => usesOneKey(call, action, key)),
  });
}

/** @param action `kms:Encrypt` */
export function createConditionContext(action: string, source: ConditionSource): ConditionContext {
  return {
    values(key) {
      const fixed = KEYS.get(key);
      if (fixed !== undefined) return fixed(source, action);
      const slash = key.indexOf('/');
      if (slash > 0) return tagValues(key.slice(0, slash), key.slice(slash + 1), source);
      if (!key.startsWith(CONTEXT_PREFIX)) return undefined;
      const wanted = key.slice(CONTEXT_PREFIX.length);
      return matching(Object.entries(encryptionContextOf(action, source.input) ?? {}), wanted);
    },
  };
}

const CONTEXT_PREFIX = 'kms:encryptioncontext:';

/** The encryption context an action works with: ReEncrypt has two. */
export function encryptionContextOf(
  action: string,
  input: Readonly<Record<string, unknown>>,
): Readonly<Record<string, string>> | undefined {
  const member =
    action === 'kms:ReEncryptFrom'
      ? 'SourceEncryptionContext'
      : action === 'kms:ReEncryptTo'
        ? 'DestinationEncryptionContext'
        : 'EncryptionContext';
  return input[member] as Readonly<Record<string, string>> | undefined;
}

type Values = readonly string[] | undefined;
type Read = (source: ConditionSource, action: string) => Values;

/** Names of tags and of encryption contexts are compared without regard to case, as all names of condition keys are. */
function matching(entries: readonly (readonly [string, string])[], wanted: string): Values {
  const found = entries.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
  return found.length === 0 ? undefined : found;
}

function tagValues(kind: string, tagKey: string, { principal, key, input }: ConditionSource): Values {
  switch (kind) {
    case 'aws:principaltag':
      return matching([...(principal.tags ?? [])], tagKey);
    case 'aws:resourcetag':
      return matching(
        (key?.tags ?? []).map((tag) => [tag.TagKey, tag.TagValue] as const),
        tagKey,
      );
    case 'aws:requesttag':
      return matching(requestTags(input), tagKey);
    default:
      return undefined;
  }
}

function requestTags(input: ConditionSource['input']): readonly (readonly [string, string])[] {
  const tags = input['Tags'] as readonly { readonly TagKey: string; readonly TagValue: string }[] | undefined;
  return (tags ?? []).map(({ TagKey, TagValue }) => [TagKey, TagValue] as const);
}

function tagKeys({ input }: ConditionSource): Values {
  const keys = input['TagKeys'];
  if (Array.isArray(keys)) return keys.map(String);
  return input['Tags'] === undefined ? undefined : requestTags(input).map(([key]) => key);
}

const one = (value: string | number | boolean | undefined): Values =>
  value === undefined ? undefined : [String(value)];

/** A request member that is one text, number or truth value. */
function member(name: string, fallback?: string | number | boolean): Read {
  return ({ input }) => {
    const value = input[name] ?? fallback;
    return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? one(value)
      : undefined;
  };
}

/** A member with a default only some actions have. */
function memberOf(actions: ReadonlySet<string>, name: string, fallback: string | number | boolean): Read {
  const present = member(name, fallback);
  return (source, action) => (actions.has(action) ? present(source, action) : undefined);
}

/** A property of the key, or for CreateKey the parameter that will become it. */
function keyProperty(read: (key: KeyRecord) => string | boolean | undefined, ofRequest: Read): Read {
  return (source, action) =>
    source.key === undefined
      ? action === 'kms:CreateKey'
        ? ofRequest(source, action)
        : undefined
      : one(read(source.key));
}

const calledVia: Read = ({ service }) => one(service && servicePrincipal(service.name));

const PRINCIPAL_TYPES = { root: 'Account', user: 'User', 'assumed-role': 'AssumedRole' } as const;

const actions = (...names: readonly string[]): ReadonlySet<string> =>
  new Set(names.map((name) => `kms:${name}`));
const GRANT_ACTIONS = actions('CreateGrant', 'ListGrants', 'RevokeGrant');
const CREATE_GRANT = actions('CreateGrant');
const ENCRYPTION = actions('Encrypt', 'Decrypt');
const SIGNING = actions('Sign', 'Verify');

const encryptionAlgorithm: Read = (source, action) => {
  switch (action) {
    case 'kms:ReEncryptFrom':
      return member('SourceEncryptionAlgorithm', 'SYMMETRIC_DEFAULT')(source, action);
    case 'kms:ReEncryptTo':
      return member('DestinationEncryptionAlgorithm', 'SYMMETRIC_DEFAULT')(source, action);
    default:
      return ENCRYPTION.has(action)
        ? member('EncryptionAlgorithm', 'SYMMETRIC_DEFAULT')(source, action)
        : member('EncryptionAlgorithm')(source, action);
  }
};

const keySpec = keyProperty(
  (key) => key.keySpec,
  (source, action) =>
    member('KeySpec')(source, action) ?? member('CustomerMasterKeySpec', 'SYMMETRIC_DEFAULT')(source, action),
);
const keyUsage = keyProperty((key) => key.keyUsage, member('KeyUsage', 'ENCRYPT_DECRYPT'));

const KEYS: ReadonlyMap<string, Read> = new Map<string, Read>([
  ['aws:currenttime', ({ nowMs }) => one(new Date(nowMs).toISOString())],
  ['aws:epochtime', ({ nowMs }) => one(Math.floor(nowMs / 1000))],
  [
    'aws:multifactorauthpresent',
    ({ principal }) => (principal.issuedAtMs === undefined ? undefined : ['false']),
  ],
  ['aws:principalaccount', ({ principal }) => one(principal.accountId)],
  ['aws:principalarn', ({ principal }) => one(principal.roleArn ?? principal.arn)],
  ['aws:principalisawsservice', () => ['false']],
  ['aws:principaltype', ({ principal }) => one(PRINCIPAL_TYPES[principal.kind])],
  ['aws:requestedregion', ({ region }) => one(region)],
  ['aws:resourceaccount', ({ resourceAccountId }) => one(resourceAccountId)],
  ['aws:securetransport', ({ secureTransport }) => one(secureTransport)],
  ['aws:sourceaccount', ({ service }) => one(service?.sourceAccount)],
  ['aws:sourcearn', ({ service }) => one(service?.sourceArn)],
  ['aws:sourceip', ({ sourceIpAddress }) => one(sourceIpAddress)],
  ['aws:tagkeys', tagKeys],
  [
    'aws:tokenissuetime',
    ({ principal: { issuedAtMs } }) =>
      one(issuedAtMs === undefined ? undefined : new Date(issuedAtMs).toISOString()),
  ],
  ['aws:useragent', ({ userAgent }) => one(userAgent)],
  ['aws:userid', ({ principal }) => one(principal.principalId)],
  ['aws:username', ({ principal }) => one(principal.userName)],
  ['aws:viaawsservice', ({ service }) => one(service !== undefined)],
  ['aws:calledvia', calledVia],
  ['aws:calledviafirst', calledVia],
  ['aws:calledvialast', calledVia],
  [
    'kms:bypasspolicylockoutsafetycheck',
    memberOf(actions('CreateKey', 'PutKeyPolicy', 'ReplicateKey'), 'BypassPolicyLockoutSafetyCheck', false),
  ],
  ['kms:viaservice', ({ service }) => one(service?.name)],
  ['kms:calleraccount', ({ principal }) => one(principal.accountId)],
  ['kms:customermasterkeyspec', keySpec],
  ['kms:customermasterkeyusage', keyUsage],
  ['kms:datakeypairspec', member('KeyPairSpec')],
  ['kms:encryptionalgorithm', encryptionAlgorithm],
  [
    'kms:encryptioncontextkeys',
    ({ input }, action) => {
      const keys = Object.keys(encryptionContextOf(action, input) ?? {});
      return keys.length === 0 ? undefined : keys;
    },
  ],
  ['kms:expirationmodel', memberOf(actions('ImportKeyMaterial'), 'ExpirationModel', 'KEY_MATERIAL_EXPIRES')],
  ['kms:grantconstrainttype', grantConstraintTypes],
  [
    'kms:granteeprincipal',
    ({ input }) => one((input['GranteePrincipal'] ?? input['GranteeServicePrincipal']) as string | undefined),
  ],
  [
    'kms:grantisforawsresource',
    ({ service }, action) => (GRANT_ACTIONS.has(action) ? one(service !== undefined) : undefined),
  ],
  [
    'kms:grantoperations',
    ({ input }, action) =>
      CREATE_GRANT.has(action) ? (input['Operations'] as readonly string[] | undefined) : undefined,
  ],
  ['kms:keyagreementalgorithm', member('KeyAgreementAlgorithm')],
  ['kms:keyorigin', keyProperty((key) => key.origin, member('Origin', 'AWS_KMS'))],
  ['kms:keyspec', keySpec],
  ['kms:keyusage', keyUsage],
  ['kms:macalgorithm', member('MacAlgorithm')],
  ['kms:messagetype', memberOf(SIGNING, 'MessageType', 'RAW')],
  ['kms:multiregion', keyProperty((key) => key.keyId.startsWith('mrk-'), member('MultiRegion', false))],
  [
    'kms:multiregionkeytype',
    keyProperty(multiRegionKeyType, ({ input: { MultiRegion, MultiRegionKeyType = 'PRIMARY' } }) =>
      MultiRegion === true ? one(MultiRegionKeyType as string) : undefined,
    ),
  ],
  ['kms:primaryregion', member('PrimaryRegion')],
  ['kms:reencryptonsamekey', ({ reEncryptOnSameKey }) => one(reEncryptOnSameKey?.())],
  ['kms:replicaregion', member('ReplicaRegion')],
  [
    'kms:requestalias',
    ({ input }, action) => {
      const name = requestKeyId(action, input);
      const at = name?.startsWith('arn:') === true ? name.indexOf(':alias/') + 1 : 0;
      const alias = name?.slice(at);
      return alias?.startsWith('alias/') === true ? [alias] : undefined;
    },
  ],
  [
    'kms:resourcealiases',
    ({ aliasNames }) => {
      const names = aliasNames();
      return names.length === 0 ? undefined : names;
    },
  ],
  [
    'kms:retiringprincipal',
    ({ input }) =>
      one((input['RetiringPrincipal'] ?? input['RetiringServicePrincipal']) as string | undefined),
  ],
  ['kms:rotationperiodindays', memberOf(actions('EnableKeyRotation'), 'RotationPeriodInDays', 365)],
  [
    'kms:schedulekeydeletionpendingwindowindays',
    memberOf(actions('ScheduleKeyDeletion'), 'PendingWindowInDays', 30),
  ],
  ['kms:signingalgorithm', member('SigningAlgorithm')],
  ['kms:trailingdayswithoutkeyusage', ({ daysWithoutUse }) => one(daysWithoutUse)],
  // Read as milliseconds, compared as the seconds it was sent as.
  ['kms:validto', ({ input: { ValidTo } }) => one(typeof ValidTo === 'number' ? ValidTo / 1000 : undefined)],
  ['kms:wrappingalgorithm', member('WrappingAlgorithm')],
  ['kms:wrappingkeyspec', member('WrappingKeySpec')],
]);

function requestKeyId(action: string, input: ConditionSource['input']): string | undefined {
  const name =
    action === 'kms:ReEncryptFrom'
      ? 'SourceKeyId'
      : action === 'kms:ReEncryptTo'
        ? 'DestinationKeyId'
        : 'KeyId';
  const keyId = input[name];
  return typeof keyId === 'string' ? keyId : undefined;
}

function usesOneKey(call: Call, action: string, key: KeyRecord): boolean | undefined {
  // The source is the first key a ReEncrypt touches; its destination is known by name only while the source is decided.
  if (action === 'kms:ReEncryptTo') return call.resources[0]?.arn === arnOf(key);
  if (action !== 'kms:ReEncryptFrom') return undefined;
  const destination = parseKeyReference(String(call.input?.['DestinationKeyId']));
  if (destination.kind !== 'key' && destination.kind !== 'alias') return false;
  const accountId = destination.scope?.accountId ?? call.principal.accountId;
  const { keys } = call.services;
  const keyId =
    destination.kind === 'key'
      ? destination.keyId
      : keys.findAlias(accountId, call.region, destination.aliasName)?.targetKeyId;
  return accountId === key.accountId && keyId === key.keyId;
}

function multiRegionKeyType(key: KeyRecord): string | undefined {
  if (key.multiRegion === undefined) return undefined;
  return key.multiRegion.primaryRegion === key.region ? 'PRIMARY' : 'REPLICA';
}

function grantConstraintTypes({ input }: ConditionSource, action: string): Values {
  const constraints = input['Constraints'];
  if (!CREATE_GRANT.has(action) || typeof constraints !== 'object' || constraints === null) return undefined;
  const types = Object.entries(constraints)
    .filter(([, value]) => value !== undefined)
    .map(([type]) => type);
  return types.length === 0 ? undefined : types;
}
