/**
 * Who writes and who reads the values of a resource under an EncryptionConfiguration.
 *
 * Source of the rule: k8s.io/apiserver `server/options/encryptionconfig`: the most specific rule that names a resource counts, a
 * resource named in several entries has the providers of all of them in order, the first one writes, all read, each by its prefix.
 */
import { createHash } from 'node:crypto';
import {
  decodeSecret,
  type EncryptionConfiguration,
  formatGroupResource,
  type KmsConfiguration,
  parseGroupResource,
  parseKmsEndpoint,
  type ProviderConfiguration,
  rulesFor,
} from '@waxseal/encryption-config';

type ReaderKind = 'identity' | 'aescbc' | 'aesgcm' | 'secretbox' | 'kms-v1' | 'kms-v2';

/** One key, one KMS provider, or identity. */
export interface Reader {
  readonly kind: ReaderKind;
  /** The key's or the KMS provider's name: part of every value it writes. Empty for identity. */
  readonly name: string;
  /** Field path: `resources[0].providers[1].aescbc.keys[0]`. */
  readonly where: string;
  /**
   * What tells two of the same name apart: of static keys SHA-256 of the key, of KMS providers the socket's path. To compare only: it is
   * never shown.
   */
  readonly material: string;
  readonly kms?: KmsConfiguration;
}

/** What plaintext is read with where no rule covers a resource. */
const UNCOVERED: readonly Reader[] = [{ kind: 'identity', name: '', where: '', material: '' }];

/** Every rule's readers in order, by the rule as the configuration writes it. */
export type ReadersByRule = ReadonlyMap<string, readonly Reader[]>;

/** @param config a valid one */
export function readersByRule(config: EncryptionConfiguration): ReadersByRule {
  const rules = new Map<string, readonly Reader[]>();
  for (const [i, { resources, providers }] of config.resources.entries()) {
    const readers = providers.flatMap((provider, j) =>
      readersOf(provider, `resources[${i}].providers[${j}]`),
    );
    for (const text of resources) {
      const rule = formatGroupResource(parseGroupResource(text));
      rules.set(rule, [...(rules.get(rule) ?? []), ...readers]);
    }
  }
  return rules;
}

/** The rule that covers a resource or a wildcard's remaining resources; undefined: none does. */
export function ruleFor(rules: ReadersByRule, resource: string): string | undefined {
  return rulesFor(parseGroupResource(resource)).find((rule) => rules.has(rule));
}

/** The first one writes. Never empty: without a rule it is identity alone. */
export function readersFor(rules: ReadersByRule, resource: string): readonly Reader[] {
  const rule = ruleFor(rules, resource);
  return (rule === undefined ? undefined : rules.get(rule)) ?? UNCOVERED;
}

/** As findings name it: `aescbc key "old"`, `KMS v2 provider "cloud"`, `identity`. Never key material. */
export function formatReader({ kind, name }: Pick<Reader, 'kind' | 'name'>): string {
  if (kind === 'identity') return 'identity (plaintext)';
  const quoted = JSON.stringify(name);
  return isStatic({ kind }) ? `${kind} key ${quoted}` : `KMS ${kind.slice(4)} provider ${quoted}`;
}

/** Whether a value's prefix leads to this reader. */
export function hasPrefixOf(a: Pick<Reader, 'kind' | 'name'>, b: Pick<Reader, 'kind' | 'name'>): boolean {
  return a.kind === b.kind && a.name === b.name;
}

export const staticKinds = ['aescbc', 'aesgcm', 'secretbox'] as const;

export function isStatic({ kind }: Pick<Reader, 'kind'>): boolean {
  return (staticKinds as readonly string[]).includes(kind);
}

function readersOf(provider: ProviderConfiguration, path: string): readonly Reader[] {
  const { kms } = provider;
  if (kms !== undefined) {
    const kind = kms.apiVersion === 'v1' ? 'kms-v1' : 'kms-v2';
    return [{ kind, name: kms.name, where: `${path}.kms`, material: socketOf(kms.endpoint), kms }];
  }
  for (const kind of staticKinds) {
    const keys = provider[kind]?.keys;
    if (keys === undefined) continue;
    return keys.map(({ name, secret }, i) => ({
      kind,
      name,
      where: `${path}.${kind}.keys[${i}]`,
      material: hashOfSecret(secret),
    }));
  }
  return [{ kind: 'identity', name: '', where: `${path}.identity`, material: '' }];
}

/** `unix:/path` and `unix:///path` are the same to an API server. */
export function socketOf(endpoint: string): string {
  const parsed = parseKmsEndpoint(endpoint);
  return parsed.problem === undefined ? parsed.path : endpoint;
}

/** Of the key's bytes: two spellings in base64 are one key. */
function hashOfSecret(secret: string): string {
  const bytes = decodeSecret(secret) ?? Buffer.alloc(0);
  const hash = createHash('sha256').update(bytes).digest('hex');
  bytes.fill(0);
  return hash;
}
