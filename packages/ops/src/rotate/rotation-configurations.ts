/**
 * The configurations a rotation goes through, so that at each moment every server can read what any other writes:
 *
 * 1. `readers`: the old writer writes, the new one can be read
 * 2. `promoted`: the new one writes, everything old can be read
 * 3. `kept`: as wanted, and the old writer can still be read
 * 4. `wanted`
 *
 * Source of the rule: Kubernetes, "Rotate a decryption key" of the task "Encrypting Confidential Data at Rest".
 */
import {
  checkEncryptionConfig,
  formatGroupResource,
  parseGroupResource,
  rulesFor,
  type EncryptionConfiguration,
  type ResourceConfiguration,
} from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import {
  entriesOf,
  fingerprintOfEntry,
  nameOfEntry,
  providersOf,
  type ProviderEntry,
} from './provider-entry.js';
import { renderConfiguration } from './render-configuration.js';

export interface RotationConfigurations {
  readonly readers: string;
  readonly promoted: string;
  readonly kept: string;
  readonly wanted: string;
}

/** @throws OpsError config-invalid when there is no safe way from one to the other */
export function planConfigurations(
  current: EncryptionConfiguration,
  wanted: EncryptionConfiguration,
): RotationConfigurations {
  refuseUncovered(current, wanted);
  const stage = (
    name: string,
    order: (old: readonly ProviderEntry[], fresh: readonly ProviderEntry[]) => readonly ProviderEntry[],
  ): string => {
    const resources = wanted.resources.map((rule): ResourceConfiguration => {
      const old = oldEntries(current, rule);
      const fresh = entriesOf(rule.providers);
      return { resources: rule.resources, providers: providersOf(distinct(order(old, fresh))) };
    });
    return checked(name, renderConfiguration({ resources }));
  };
  return {
    readers: stage('readers', (old, fresh) => [...old.slice(0, 1), ...fresh, ...old.slice(1)]),
    promoted: stage('promoted', (old, fresh) => [...fresh.slice(0, 1), ...old, ...fresh.slice(1)]),
    kept: stage('kept', (old, fresh) => [...fresh.slice(0, 1), ...old.slice(0, 1), ...fresh.slice(1)]),
    wanted: stage('wanted', (_, fresh) => fresh),
  };
}

/** By fingerprint. One name with two keys is refused: the values could not be told apart. */
function distinct(entries: readonly ProviderEntry[]): readonly ProviderEntry[] {
  const byName = new Map<string, ProviderEntry>();
  for (const entry of entries) {
    const name = nameOfEntry(entry);
    const before = byName.get(name);
    if (before !== undefined && fingerprintOfEntry(before) !== fingerprintOfEntry(entry)) {
      throw new OpsError(
        'config-invalid',
        `${name} is not the same in the current and the wanted configuration: give the new one a new name`,
      );
    }
    if (before === undefined) byName.set(name, entry);
  }
  return [...byName.values()];
}

const IDENTITY: readonly ProviderEntry[] = [{ kind: 'identity' }];

/** What the resources of a wanted rule are sealed with now; it must be the same for all of them. */
function oldEntries(current: EncryptionConfiguration, rule: ResourceConfiguration): readonly ProviderEntry[] {
  const found = rule.resources.map((name) => ruleCovering(current, name));
  const [first] = found;
  if (found.some((each) => each !== first)) {
    throw new OpsError(
      'config-invalid',
      `the wanted configuration has one rule for ${rule.resources.join(', ')}, which are under several rules now: write a rule for each`,
    );
  }
  return first === undefined ? IDENTITY : entriesOf(first.providers);
}

/** Undefined: plaintext. */
export function ruleCovering(
  config: EncryptionConfiguration,
  resource: string,
): ResourceConfiguration | undefined {
  for (const name of rulesFor(parseGroupResource(resource))) {
    const rule = config.resources.find(({ resources }) =>
      resources.some((each) => formatGroupResource(parseGroupResource(each)) === name),
    );
    if (rule !== undefined) return rule;
  }
  return undefined;
}

/** A resource that loses its rule would be unreadable at once. */
function refuseUncovered(current: EncryptionConfiguration, wanted: EncryptionConfiguration): void {
  const names = current.resources.flatMap(({ resources }) => resources);
  const uncovered = names.filter((name) => ruleCovering(wanted, name) === undefined);
  if (uncovered.length > 0) {
    throw new OpsError(
      'config-invalid',
      `the wanted configuration has no rule for ${uncovered.join(', ')}: to end encryption, write one with identity first`,
    );
  }
  // A wider rule of the wanted configuration takes a narrower one's resources over, but not its readers.
  const swallowed = names.filter((name) => {
    const rule = ruleCovering(wanted, name);
    const [first = name] = rule?.resources ?? [];
    return ruleCovering(current, first) !== ruleCovering(current, name);
  });
  if (swallowed.length === 0) return;
  throw new OpsError(
    'config-invalid',
    `the wanted configuration puts ${swallowed.join(', ')} under a rule with resources that are sealed otherwise now: write a rule for each`,
  );
}

function checked(name: string, text: string): string {
  const { message } = checkEncryptionConfig(text, {
    fileName: `configuration "${name}"`,
    kmsV1Enabled: true,
    automaticReload: true,
  });
  if (message === undefined) return text;
  throw new OpsError('config-invalid', `the rotation would need an invalid configuration: ${message}`);
}
