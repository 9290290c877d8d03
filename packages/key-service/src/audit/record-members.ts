/**
 * requestParameters and responseElements of KMS records, as CloudTrail writes them.
 *
 * Source of the rule: the examples of every operation in the KMS Developer Guide, "Understanding AWS KMS log entries". Names begin small,
 * dates are texts, parameters AWS has a default for are written also when the caller left them out, and since December 2022 an
 * operation that changes a key and returns nothing is recorded with the key's ARN. Plaintexts, ciphertexts and tokens are left out by
 * type, not by name.
 */
import { lowerFirst } from '../validation/members.js';

type RecordMembers = Readonly<Record<string, unknown>>;

/** Operations whose examples have `"requestParameters": null`. */
const WITHOUT_PARAMETERS: ReadonlySet<string> = new Set(['GenerateRandom', 'RetireGrant']);

/** What a request that leaves these out is recorded with. */
const DEFAULTS: ReadonlyMap<string, RecordMembers> = new Map<string, RecordMembers>([
  [
    'CreateKey',
    {
      Description: '',
      KeyUsage: 'ENCRYPT_DECRYPT',
      CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
      KeySpec: 'SYMMETRIC_DEFAULT',
      Origin: 'AWS_KMS',
      BypassPolicyLockoutSafetyCheck: false,
    },
  ],
  ['Decrypt', { EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' }],
  ['Encrypt', { EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' }],
  ['GetKeyPolicy', { PolicyName: 'default' }],
  ['ImportKeyMaterial', { ExpirationModel: 'KEY_MATERIAL_EXPIRES' }],
  ['PutKeyPolicy', { PolicyName: 'default', BypassPolicyLockoutSafetyCheck: false }],
  [
    'ReEncrypt',
    {
      SourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      DestinationEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
    },
  ],
  ['ReplicateKey', { BypassPolicyLockoutSafetyCheck: false, Description: '' }],
  ['ScheduleKeyDeletion', { PendingWindowInDays: 30 }],
  ['Sign', { MessageType: 'RAW' }],
  ['Verify', { MessageType: 'RAW' }],
]);

/** Two names of one parameter: what is given by one is recorded under both. */
const KEY_SPEC_NAMES: ReadonlyMap<string, string> = new Map([
  ['KeySpec', 'CustomerMasterKeySpec'],
  ['CustomerMasterKeySpec', 'KeySpec'],
]);

/** Members that are dates: milliseconds in a request that was read, seconds in an answer. */
const DATES: ReadonlySet<string> = new Set(['CreationDate', 'DeletionDate', 'Expiration', 'ValidTo']);

/** Texts that must not be in a record. */
const SECRET_TEXTS: ReadonlySet<string> = new Set([
  'GrantToken',
  'GrantTokens',
  'KeyStorePassword',
  'SecretAccessKey',
  'SessionToken',
  'XksProxyAuthenticationCredential',
]);

/** Members whose names inside are the caller's own. */
const CONTEXTS: ReadonlySet<string> = new Set([
  'EncryptionContext',
  'SourceEncryptionContext',
  'DestinationEncryptionContext',
  'EncryptionContextEquals',
  'EncryptionContextSubset',
]);

/** @param input members as they were read; undefined when they could not be */
export function requestParameters(eventName: string, input: RecordMembers | undefined): RecordMembers | null {
  if (input === undefined || WITHOUT_PARAMETERS.has(eventName)) return null;
  const written = members(input, 1);
  const defaults = DEFAULTS.get(eventName);
  for (const name in defaults) {
    if (input[name] !== undefined) continue;
    written[recordName(name)] = input[KEY_SPEC_NAMES.get(name) ?? name] ?? defaults[name];
  }
  const clusterId = input['CloudHsmClusterId'];
  if (clusterId !== undefined) {
    // CloudTrail has another name for it in requests.
    delete written['cloudHsmClusterId'];
    written['clusterId'] = clusterId;
  }
  return Object.keys(written).length === 0 ? null : written;
}

/**
 * Of a call that changed something and succeeded.
 *
 * @param keyArn the key it changed; undefined when there is none
 */
export function responseElements(
  output: RecordMembers | undefined,
  keyArn: string | undefined,
): RecordMembers | null {
  const names = Object.keys(output ?? {});
  const namesKey = names.some((name) => name === 'KeyId' || name.endsWith('KeyMetadata'));
  if (names.length === 0 && keyArn === undefined) return null;
  if (keyArn === undefined || namesKey) return output === undefined ? null : members(output, 1000);
  return { ...members(output ?? {}, 1000), keyId: keyArn };
}

/** @param dateUnitMs milliseconds of the unit in which dates are given */
function members(object: RecordMembers, dateUnitMs: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const name of Object.keys(object)) {
    const value = object[name];
    if (value === undefined || Buffer.isBuffer(value) || SECRET_TEXTS.has(name)) continue;
    out[recordName(name)] =
      typeof value === 'object' ? structure(name, value, dateUnitMs) : scalar(name, value, dateUnitMs);
  }
  return out;
}

function structure(name: string, value: object | null, dateUnitMs: number): unknown {
  return CONTEXTS.has(name) ? value : nested(value, dateUnitMs);
}

function scalar(name: string, value: unknown, dateUnitMs: number): unknown {
  return typeof value === 'number' && DATES.has(name) ? dateText(value * dateUnitMs) : value;
}

function nested(value: unknown, dateUnitMs: number): unknown {
  if (Array.isArray(value)) return value.map((one) => nested(one, dateUnitMs));
  if (typeof value !== 'object' || value === null) return value;
  return members(Object.fromEntries(Object.entries(value)), dateUnitMs);
}

function recordName(name: string): string {
  return name === 'AWSAccountId' ? name : lowerFirst(name);
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `May 21, 2025, 5:47:45 AM`, UTC. */
export function dateText(millis: number): string {
  const date = new Date(millis);
  if (Number.isNaN(date.getTime())) return String(millis);
  const two = (part: number): string => String(part).padStart(2, '0');
  const hours = date.getUTCHours();
  const time = `${hours % 12 === 0 ? 12 : hours % 12}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
  return `${MONTHS[date.getUTCMonth()]} ${date.getUTCDate()}, ${date.getUTCFullYear()}, ${time} ${hours < 12 ? 'AM' : 'PM'}`;
}
