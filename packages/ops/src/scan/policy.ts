/**
 * What must be sealed, and how: rules that a scan keeps or breaks, for CI and cron.
 *
 * A policy file is YAML or JSON:
 *
 *     rules:
 *       - resources: [secrets, '*.example.com']
 *         providers: [kms-v2]           # default: every one but identity and unknown
 *         keys: [arn:aws:kms:…]         # default: any
 */
import { DecodeError, parseYaml } from '@waxseal/api-types';
import { OpsError } from '../errors.js';
import { registryRecords } from '../registry-table.js';
import type { ProviderKind } from '../stored-value.js';
import type { ScanGroup, ScanResult } from './scan.js';

export interface PolicyRule {
  /**
   * As an EncryptionConfiguration names them: `secrets`, `deployments.apps`, `*.apps`, `*.` (the core group), `*.*`. Unlike there, a name
   * without a group means every group: a rule that covers nothing by a slip of the pen would be kept by anything.
   */
  readonly resources: readonly string[];
  readonly providers: readonly ProviderKind[];
  /** Undefined: any key. */
  readonly keys?: readonly string[] | undefined;
}

export interface PolicyViolation {
  readonly resource: string;
  readonly provider: ProviderKind;
  readonly key: string;
  readonly count: number;
  /** One sentence. */
  readonly message: string;
}

const SEALED = [
  'aescbc',
  'aesgcm',
  'secretbox',
  'kms-v1',
  'kms-v2',
] as const satisfies readonly ProviderKind[];
const POLICY_BYTES_MAX = 1024 * 1024;
/** No group has more labels; what is longer is a mistake. */
const RESOURCE = /^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.(\*|[a-z0-9]([-.a-z0-9]*[a-z0-9])?)?)?$/;

/** Every value of these resources must be sealed, with whatever key. @throws OpsError invalid-option */
export function requireSealed(resources: readonly string[]): PolicyRule {
  const bad = resources.find((text) => !RESOURCE.test(text));
  if (bad !== undefined) throw new OpsError('invalid-option', noResource(bad, '--require'));
  return { resources, providers: SEALED };
}

/** @throws OpsError config-invalid: what is wrong, and where */
export function parsePolicy(text: string, fileName: string): readonly PolicyRule[] {
  if (text.length > POLICY_BYTES_MAX) throw invalid(`${fileName} is longer than 1 MiB`);
  const root = record(readYaml(text, fileName), fileName, ['rules']);
  const rules = list(root['rules'], `${fileName}: rules`);
  if (rules.length === 0) throw invalid(`${fileName}: rules is empty, so that nothing would be checked`);
  return rules.map((value, index) => parseRule(value, `${fileName}: rules[${index}]`));
}

/** What of the scan breaks a rule; empty: every rule is kept. A resource without values keeps every rule. */
export function checkPolicy(result: ScanResult, rules: readonly PolicyRule[]): readonly PolicyViolation[] {
  return rules.flatMap(({ resources, providers, keys }) =>
    result.groups
      .filter((group) =>
        resources.some(
          (pattern) =>
            covers(pattern, group.resource) && !(pattern.startsWith('*') && isPlaintextRecord(group)),
        ),
      )
      .filter(({ provider, key }) => !providers.includes(provider) || keys?.includes(key) === false)
      .map(({ resource, provider, key, count }) => ({
        resource,
        provider,
        key,
        count,
        message: messageOf({ resource, provider, key, count }, providers, keys),
      })),
  );
}

/** Names in the rules that nothing is stored of: such a rule is kept, and may be misspelt. Each once. */
export function resourcesNotStored(result: ScanResult, rules: readonly PolicyRule[]): readonly string[] {
  const patterns = new Set(rules.flatMap(({ resources }) => resources));
  return [...patterns].filter((pattern) => !result.groups.some(({ resource }) => covers(pattern, resource)));
}

/** What no API server seals is not asked for by a wildcard; by its name it is. */
function isPlaintextRecord({ resource, provider }: ScanGroup): boolean {
  return provider === 'identity' && registryRecords.some(({ path }) => path === resource);
}

function messageOf(
  { resource, provider, key, count }: Pick<ScanGroup, 'resource' | 'provider' | 'key' | 'count'>,
  providers: readonly ProviderKind[],
  keys: readonly string[] | undefined,
): string {
  const values = `${count} ${count === 1 ? 'value' : 'values'} of ${resource}`;
  const how =
    provider === 'identity'
      ? 'not encrypted'
      : provider === 'unknown'
        ? 'in no format that is known'
        : `under ${provider}${key === '' ? '' : ` key ${key}`}`;
  const allowed =
    keys === undefined ? providers.join(', ') : `${providers.join(', ')} under ${keys.join(', ')}`;
  return `${values} ${count === 1 ? 'is' : 'are'} ${how}; allowed is: ${allowed}`;
}

function covers(pattern: string, resource: string): boolean {
  const [name, group] = parts(resource);
  const [wantedName, wantedGroup] = pattern.includes('.') ? parts(pattern) : [pattern, '*'];
  return (wantedName === '*' || wantedName === name) && (wantedGroup === '*' || wantedGroup === group);
}

function parts(resource: string): readonly [string, string] {
  const dot = resource.indexOf('.');
  return dot === -1 ? [resource, ''] : [resource.slice(0, dot), resource.slice(dot + 1)];
}

function parseRule(value: unknown, at: string): PolicyRule {
  const rule = record(value, at, ['resources', 'providers', 'keys']);
  const resources = strings(rule['resources'], `${at}.resources`);
  if (resources.length === 0) throw invalid(`${at}.resources is empty, so that nothing would be checked`);
  return {
    resources: resources.map((text) => parseResource(text, `${at}.resources`)),
    providers:
      rule['providers'] === undefined
        ? SEALED
        : strings(rule['providers'], `${at}.providers`).map((text) => parseProvider(text, at)),
    keys: rule['keys'] === undefined ? undefined : strings(rule['keys'], `${at}.keys`),
  };
}

function parseResource(text: string, at: string): string {
  if (RESOURCE.test(text)) return text;
  throw invalid(noResource(text, at));
}

const noResource = (text: string, at: string): string =>
  `${at}: ${JSON.stringify(text)} is no resource; write it as secrets, deployments.apps or *.apps`;

function parseProvider(text: string, at: string): ProviderKind {
  const provider = [...SEALED, 'identity' as const].find((known) => known === text);
  if (provider !== undefined) return provider;
  throw invalid(`${at}.providers: ${JSON.stringify(text)} is none of ${[...SEALED, 'identity'].join(', ')}`);
}

function readYaml(text: string, fileName: string): unknown {
  try {
    const { value, duplicates } = parseYaml(Buffer.from(text), { findDuplicates: true });
    if (duplicates.length > 0) throw invalid(`${fileName} says ${duplicates.join(', ')} twice`);
    return value;
  } catch (error) {
    if (error instanceof DecodeError) throw invalid(`${fileName}: ${error.message}`, error);
    throw error;
  }
}

function record(value: unknown, at: string, members: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(`${at} should be a mapping with ${members.join(', ')}`);
  }
  const extra = Object.keys(value).find((name) => !members.includes(name));
  if (extra !== undefined) throw invalid(`${at}: ${JSON.stringify(extra)} is none of ${members.join(', ')}`);
  return value as Readonly<Record<string, unknown>>;
}

function list(value: unknown, at: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`${at} should be a list`);
  return value;
}

function strings(value: unknown, at: string): readonly string[] {
  return list(value, at).map((item) => {
    if (typeof item !== 'string') throw invalid(`${at} should be a list of words`);
    return item;
  });
}

function invalid(message: string, cause?: unknown): OpsError {
  return new OpsError('config-invalid', message, cause);
}
