/**
 * What a person wants of a rotation, as the configuration it ends with.
 */
import {
  readEncryptionConfig,
  type EncryptionConfiguration,
  type ResourceConfiguration,
} from '@waxseal/encryption-config';
import type { RandomBytes } from '@waxseal/envelope';
import { OpsError } from '../errors.js';
import { entriesOf, providersOf, type ProviderEntry, type StaticProvider } from './provider-entry.js';

export type WantedChange =
  /** A new random key, which the rotation makes. Without a name: the first of `key1`, `key2`, … that is free. */
  | { readonly kind: 'add-key'; readonly provider: StaticProvider; readonly name?: string }
  | { readonly kind: 'to-kms'; readonly name: string; readonly endpoint: string; readonly timeoutMs: number }
  | { readonly kind: 'to-identity' }
  /** The text of the configuration to end with. */
  | { readonly kind: 'target'; readonly text: string; readonly fileName: string }
  /** The configuration stays, the KMS has a new key: what is under another keyID is rewrapped. */
  | { readonly kind: 'kms-key-id'; readonly name: string; readonly keyId: string };

/** All three static providers take 32 bytes; for AES that is AES-256. */
const KEY_BYTES = 32;

/**
 * @throws OpsError config-invalid, invalid-option
 */
export function wantedConfiguration(
  current: EncryptionConfiguration,
  change: WantedChange,
  randomBytes: RandomBytes,
): EncryptionConfiguration {
  if (change.kind === 'target') return parseConfiguration(change.text, change.fileName);
  if (change.kind === 'to-identity') return withWriter(current, () => ({ kind: 'identity' }));
  if (change.kind === 'add-key') {
    const entry = newKey(current, change.provider, change.name, randomBytes);
    return withWriter(current, () => entry);
  }
  if (change.kind === 'to-kms') return withWriter(current, (before) => kmsEntry(change, before));
  refuseUnusedKms(current, change.name);
  return current;
}

function newKey(
  current: EncryptionConfiguration,
  provider: StaticProvider,
  wantedName: string | undefined,
  randomBytes: RandomBytes,
): ProviderEntry {
  const name = wantedName ?? freeName(current, provider);
  refuseTakenName(current, provider, name);
  const bytes = randomBytes(KEY_BYTES);
  const secret = bytes.toString('base64');
  bytes.fill(0);
  return { kind: 'static', provider, name, secret };
}

type ToKms = Extract<WantedChange, { kind: 'to-kms' }>;

function kmsEntry({ name, endpoint, timeoutMs }: ToKms, before: number): ProviderEntry {
  // A configuration may have a name once: each rule gets its own.
  const ownName = before === 0 ? name : `${name}-${before + 1}`;
  return {
    kind: 'kms',
    kms: { apiVersion: 'v2', name: ownName, endpoint, timeoutMs, cacheSize: undefined },
  };
}

/** @throws OpsError config-invalid */
export function parseConfiguration(text: string, fileName: string): EncryptionConfiguration {
  const { config, message } = readEncryptionConfig(text, { fileName, kmsV1Enabled: true });
  if (config === undefined) throw new OpsError('config-invalid', `${fileName}: ${message}`);
  return config;
}

/**
 * The writer alone; identity stays a reader where it was one, for plaintext that is written past the API server. A rule of identity alone
 * beside others leaves its resources out on purpose, and stays.
 *
 * @param writer of a rule; gets how many rules before it have got one
 */
function withWriter(
  current: EncryptionConfiguration,
  writer: (before: number) => ProviderEntry,
): EncryptionConfiguration {
  const isPlaintext = (rule: ResourceConfiguration): boolean =>
    rule.providers.every(({ identity }) => identity !== undefined);
  const allPlaintext = current.resources.every(isPlaintext);
  let changed = 0;
  return {
    resources: current.resources.map((rule): ResourceConfiguration => {
      if (isPlaintext(rule) && !allPlaintext) return rule;
      const [, ...readers] = entriesOf(rule.providers);
      const first = writer(changed++);
      const identity = readers.filter((entry) => entry.kind === 'identity' && first.kind !== 'identity');
      return { resources: rule.resources, providers: providersOf([first, ...identity.slice(0, 1)]) };
    }),
  };
}

function staticNames(config: EncryptionConfiguration, provider: StaticProvider): ReadonlySet<string> {
  const entries = config.resources.flatMap(({ providers }) => entriesOf(providers));
  return new Set(
    entries.flatMap((entry) => (entry.kind === 'static' && entry.provider === provider ? [entry.name] : [])),
  );
}

function freeName(config: EncryptionConfiguration, provider: StaticProvider): string {
  const taken = staticNames(config, provider);
  for (let number = taken.size + 1; ; number++) if (!taken.has(`key${number}`)) return `key${number}`;
}

function refuseTakenName(config: EncryptionConfiguration, provider: StaticProvider, name: string): void {
  if (name.includes(':')) throw new OpsError('invalid-option', `the key's name ${name} must not contain ':'`);
  if (!staticNames(config, provider).has(name)) return;
  throw new OpsError(
    'invalid-option',
    `the configuration has a key ${provider}:${name} already: choose another name, a new key must not take an old one's`,
  );
}

function refuseUnusedKms(config: EncryptionConfiguration, name: string): void {
  const writers = config.resources.map(({ providers }) => providers[0]?.kms);
  if (writers.some((kms) => kms?.apiVersion === 'v2' && kms.name === name)) return;
  throw new OpsError('invalid-option', `the configuration writes with no KMS v2 provider named ${name}`);
}
