/**
 * The three files of a migration: the new provider reads, the new provider writes, the old ones are gone.
 *
 * At each step a server that still has the file before can read what a server with the new one writes, and the other way round.
 * Source of the rule: Kubernetes, "Encrypting Confidential Data at Rest", rotating a decryption key.
 */
import { createHash } from 'node:crypto';
import { type EncryptionConfiguration, readEncryptionConfig } from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { anyAtLeast } from '../lint/finding.js';
import { compareConfigurations } from '../lint/compare.js';
import { type ConfigText } from '../lint/lint.js';
import { formatReader, readersByRule, type Reader } from '../lint/readers.js';
import { editProviders, type ProviderList } from './edit-providers.js';
import { createTargetProvider, isTarget, type MigrationTarget } from './target.js';

export interface MigrationFile {
  readonly name: '01-add-read-key.yaml' | '02-promote.yaml' | '03-after-rewrap.yaml';
  readonly text: string;
  /** As the API server's metrics give the configuration in force: `sha256:` and hex. */
  readonly contentHash: string;
  readonly commentsKept: boolean;
}

export interface Migration {
  /** In the order in which they are applied. */
  readonly files: readonly [MigrationFile, MigrationFile, MigrationFile];
  /** What writes afterwards, as `aescbc key "key2"`. */
  readonly writers: readonly string[];
  /** What no longer reads at the end, as `waxseal retire --key` takes it. Without identity. */
  readonly retiredKeys: readonly string[];
  /** Entries that are left as they are, as their resources: they write so already, or leave resources out on purpose. */
  readonly untouched: readonly (readonly string[])[];
  readonly usesKms: boolean;
}

/** Where nothing is encrypted yet. */
export function plaintextConfig(resources: readonly string[]): string {
  const names = resources.map((name) => JSON.stringify(name)).join(', ');
  return [
    'apiVersion: apiserver.config.k8s.io/v1',
    'kind: EncryptionConfiguration',
    'resources:',
    `  - resources: [${names}]`,
    '    providers:',
    '      - identity: {}',
    '',
  ].join('\n');
}

/**
 * @throws OpsError config-invalid when the file in force, or one that would be made, cannot be used; invalid-option when names are
 *   taken, or there is nothing to migrate
 */
export function planMigration(current: ConfigText, target: MigrationTarget): Migration {
  const config = parse(current);
  const targetProvider = createTargetProvider(target, config);
  const phases = config.resources.map(({ providers }) => {
    const same = providers.map((_, i) => i);
    if (isLeftAlone(providers, config, target))
      return { readable: same, promoted: same, after: same, touched: false };
    const known = providers.findIndex((provider) => isTarget(provider, target));
    const added = known === -1 ? targetProvider() : known;
    const [writer = 0, ...readers] = same.filter((i) => i !== known);
    return {
      readable: known === -1 ? [writer, added, ...readers] : same,
      promoted: [added, writer, ...readers],
      after: [added],
      touched: true,
    };
  });
  if (!phases.some(({ touched }) => touched)) {
    throw new OpsError(
      'invalid-option',
      `There is nothing to migrate: every entry of ${current.file} writes so already.`,
    );
  }
  const make = (
    name: MigrationFile['name'],
    lists: readonly ProviderList[],
  ): MigrationFile & { readonly config: EncryptionConfiguration } => {
    const edited = editProviders(current.text, config, lists);
    return {
      ...edited,
      name,
      contentHash: `sha256:${createHash('sha256').update(edited.text).digest('hex')}`,
    };
  };
  const files = [
    make(
      '01-add-read-key.yaml',
      phases.map(({ readable }) => readable),
    ),
    make(
      '02-promote.yaml',
      phases.map(({ promoted }) => promoted),
    ),
    make(
      '03-after-rewrap.yaml',
      phases.map(({ after }) => after),
    ),
  ] as const;
  let before = config;
  for (const { name, text, config: next } of files) {
    refuseUnsafe(before, parse({ file: name, text }), name);
    before = next;
  }
  const [first, second, third] = files;
  const touchedRules = new Set(
    config.resources.flatMap(({ resources }, i) => (phases[i]?.touched === true ? resources : [])),
  );
  return {
    files: [withoutConfig(first), withoutConfig(second), withoutConfig(third)],
    writers: writersOf(third.config, touchedRules),
    retiredKeys: retiredKeys(config, third.config),
    untouched: config.resources
      .filter((_, i) => phases[i]?.touched !== true)
      .map(({ resources }) => resources),
    usesKms: third.config.resources.some(({ providers }) => providers.some(({ kms }) => kms !== undefined)),
  };
}

/** What writes so already stays; so does an entry of identity alone beside others: it leaves resources out on purpose. */
function isLeftAlone(
  providers: EncryptionConfiguration['resources'][number]['providers'],
  config: EncryptionConfiguration,
  target: MigrationTarget,
): boolean {
  const [writer] = providers;
  if (writer === undefined || isTarget(writer, target)) return true;
  const isPlaintext = (list: typeof providers): boolean =>
    list.every(({ identity }) => identity !== undefined);
  return isPlaintext(providers) && !config.resources.every((entry) => isPlaintext(entry.providers));
}

/** A removed reader is what the last file is for; the rewrap before it makes that safe. Anything worse is refused. */
function refuseUnsafe(before: EncryptionConfiguration, next: EncryptionConfiguration, name: string): void {
  const findings = compareConfigurations(before, next, { severalServers: true });
  if (!anyAtLeast(findings, 'error')) return;
  const whys = findings
    .filter(({ severity }) => severity === 'error')
    .map(({ where, why }) => `${where}: ${why}`);
  throw new OpsError('config-invalid', `No safe ${name} can be made of this file: ${whys.join(' ')}`);
}

function parse({ file, text }: ConfigText): EncryptionConfiguration {
  const { config, message } = readEncryptionConfig(text, { fileName: file, kmsV1Enabled: true });
  if (config === undefined) throw new OpsError('config-invalid', `${file} cannot be used: ${message}`);
  return config;
}

function withoutConfig({ name, text, contentHash, commentsKept }: MigrationFile): MigrationFile {
  return { name, text, contentHash, commentsKept };
}

function writersOf(config: EncryptionConfiguration, resources: ReadonlySet<string>): readonly string[] {
  const writers = config.resources
    .filter((entry) => entry.resources.some((name) => resources.has(name)))
    .flatMap((entry) =>
      [...readersByRule({ resources: [entry] }).values()].flatMap(([writer]) => writer ?? []),
    );
  return [...new Set(writers.map(formatReader))];
}

function retiredKeys(before: EncryptionConfiguration, after: EncryptionConfiguration): readonly string[] {
  const names = (config: EncryptionConfiguration): readonly string[] =>
    [...readersByRule(config).values()]
      .flat()
      .filter(({ kind }) => kind !== 'identity')
      .map(({ kind, name }: Reader) => `${kind}:${name}`);
  const kept = new Set(names(after));
  return [...new Set(names(before))].filter((name) => !kept.has(name));
}
