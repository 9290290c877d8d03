/**
 * What a stored value is, told without any key: its provider, the name of its key or the KMS's keyID, and where its DEK comes
 * from. Source of the rule: the prefixes of k8s.io/apiserver `storage/value/encrypt` and `server/options/encryptionconfig`;
 * DESIGN of the stored formats: docs/formats.
 */
import { createHash } from 'node:crypto';
import { decodeEncryptedObject, EnvelopeError, hashKeyId } from '@waxseal/envelope';

export type ProviderKind = 'identity' | 'aescbc' | 'aesgcm' | 'secretbox' | 'kms-v1' | 'kms-v2' | 'unknown';

export interface StoredValueKind {
  readonly provider: ProviderKind;
  /** Static providers: the key's name. kms-v1: the provider's name. kms-v2: the KMS's keyID. identity and unknown: empty. */
  readonly key: string;
  /** kms only: the provider's name in the configuration. */
  readonly kmsName?: string;
  /** kms only: which wrapped DEK (v1) or DEK source (v2), as 16 hexadecimal digits of SHA-256; the wrapped bytes are public. */
  readonly dekSource?: string;
  /** kms-v2 only: the keyID as the API server's metrics hash it. */
  readonly keyIdHash?: string;
  /** Why the provider is `unknown`, or why a frame is not whole: one short sentence. */
  readonly problem?: string;
}

const ENCRYPTED = Buffer.from('k8s:enc:');
const COLON = 0x3a;
/** Longer prefixes are not written by anything: names of keys and providers are short. */
const PREFIX_MAX_BYTES = 512;

const STATIC: Readonly<Record<string, ProviderKind>> = {
  aescbc: 'aescbc',
  aesgcm: 'aesgcm',
  secretbox: 'secretbox',
};

/** Total: whatever the bytes, there is an answer. */
export function describeStoredValue(value: Buffer): StoredValueKind {
  if (!value.subarray(0, ENCRYPTED.length).equals(ENCRYPTED)) return { provider: 'identity', key: '' };
  const parts = prefixParts(value);
  if (parts === undefined) return unknown('the prefix does not end');
  const { words, bodyAt } = parts;
  const [provider = '', version = '', name = ''] = words;
  const kind = Object.hasOwn(STATIC, provider) ? STATIC[provider] : undefined;
  if (kind !== undefined && version === 'v1') return { provider: kind, key: name };
  if (provider !== 'kms') return unknown(`no provider writes the prefix k8s:enc:${provider}:${version}:`);
  const body = value.subarray(bodyAt);
  if (version === 'v1') return describeKmsV1(name, body);
  if (version === 'v2') return describeKmsV2(name, body);
  return unknown(`there is no version ${version} of kms`);
}

/** As many DEK sources as are told apart without hashing again. */
const REMEMBERED_MAX = 10_000;

/**
 * `describeStoredValue` for many values: those of one KMS v2 DEK source differ in their ciphertext alone, so that everything else need be
 * looked at once.
 */
export function createStoredValueDescriber(): (value: Buffer) => StoredValueKind {
  const known = new Map<string, StoredValueKind>();
  return (value) => {
    const span = ciphertextSpan(value);
    if (span === undefined) return describeStoredValue(value);
    const rest = value.toString('latin1', 0, span.start) + value.toString('latin1', span.end);
    const before = known.get(rest);
    if (before !== undefined) return before;
    const kind = describeStoredValue(value);
    if (known.size >= REMEMBERED_MAX) known.clear();
    known.set(rest, kind);
    return kind;
  };
}

const KMS_V2 = Buffer.from('k8s:enc:kms:v2:');
/** Field 1, encryptedData, which is written first. */
const ENCRYPTED_DATA_TAG = 0x0a;

/** Where the ciphertext of a KMS v2 value and its length lie; undefined for any other value, or one that is not written as usual. */
function ciphertextSpan(value: Buffer): { readonly start: number; readonly end: number } | undefined {
  if (value.length < KMS_V2.length || value.compare(KMS_V2, 0, KMS_V2.length, 0, KMS_V2.length) !== 0) {
    return undefined;
  }
  const bodyAt = value.indexOf(COLON, KMS_V2.length) + 1;
  if (bodyAt === 0 || value[bodyAt] !== ENCRYPTED_DATA_TAG) return undefined;
  let length = 0;
  for (let at = bodyAt + 1, shift = 0; shift <= 21; at++, shift += 7) {
    const byte = value[at];
    if (byte === undefined) return undefined;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      const end = at + 1 + length;
      return length > 0 && end <= value.length ? { start: bodyAt + 1, end } : undefined;
    }
  }
  return undefined;
}

function describeKmsV1(name: string, body: Buffer): StoredValueKind {
  const common = { provider: 'kms-v1', key: name, kmsName: name } as const;
  const wrappedEnd = body.length < 2 ? undefined : 2 + body.readUInt16BE(0);
  if (wrappedEnd === undefined || wrappedEnd > body.length) {
    return { ...common, problem: 'the value is shorter than its wrapped DEK' };
  }
  return { ...common, dekSource: shortHash(body.subarray(2, wrappedEnd)) };
}

function describeKmsV2(name: string, body: Buffer): StoredValueKind {
  try {
    const { keyId, encryptedDekSource } = decodeEncryptedObject(body);
    return {
      provider: 'kms-v2',
      key: keyId,
      kmsName: name,
      dekSource: shortHash(encryptedDekSource),
      keyIdHash: hashKeyId(keyId),
    };
  } catch (error) {
    if (!(error instanceof EnvelopeError)) throw error;
    return { provider: 'kms-v2', key: '', kmsName: name, problem: error.message };
  }
}

/** `k8s:enc:<provider>:<version>:<name>:`; undefined when there are not three words with their colons. */
function prefixParts(
  value: Buffer,
): { readonly words: readonly string[]; readonly bodyAt: number } | undefined {
  const words: string[] = [];
  let start = ENCRYPTED.length;
  while (words.length < 3) {
    const end = value.indexOf(COLON, start);
    if (end === -1 || end > PREFIX_MAX_BYTES) return undefined;
    words.push(value.toString('utf8', start, end));
    start = end + 1;
  }
  return { words, bodyAt: start };
}

function unknown(problem: string): StoredValueKind {
  return { provider: 'unknown', key: '', problem };
}

function shortHash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}
