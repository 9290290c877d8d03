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
  type ProviderConfiguration,
  type ResourceConfiguration,
} from '@waxseal/encryption-config';
import { OpsError } from '../errors.js';
import { editProviders, type ProviderList } from '../generate/edit-providers.js';
import {
  entriesOf,
  fingerprintOfEntry,
  nameOfEntry,
  providersOf,
  type ProviderEntry,
} from './provider-entry.js';

export interface RotationConfigurations {
  readonly readers: string;
  readonly promoted: string;
  readonly kept: string;
  readonly wanted: string;
  /** False: one of them could not be made by editing the file, and is written anew without its comments. */
  readonly commentsKept: boolean;
}

/** The file whose comments and layout the configurations get; its rules must be those of the wanted configuration, in their order. */
export interface EditedFile {
  readonly text: string;
  readonly config: EncryptionConfiguration;
}

/** @throws OpsError config-invalid when there is no safe way from one to the other */
export function planConfigurations(
  current: EncryptionConfiguration,
  wanted: EncryptionConfiguration,
  file: EditedFile,
): RotationConfigurations {
  refuseUncovered(current, wanted);
  const stage = (name: string, order: Order): StageText => {
    const lists = wanted.resources.map((rule, index) => {
      const entries = distinct(order(parted(oldProviders(current, rule)), parted(rule.providers)));
      return listOf(entries, file.config.resources[index]?.providers ?? []);
    });
    const edited = unchanged(lists, file) ? undefined : editProviders(file.text, file.config, lists);
    return {
      text: checked(name, edited?.text ?? file.text),
      commentsKept: edited?.commentsKept ?? true,
    };
  };
  const stages = {
    readers: stage('readers', (old, fresh) => [...old.first, ...fresh.first, ...fresh.rest, ...old.rest]),
    promoted: stage('promoted', (old, fresh) => [...fresh.first, ...old.first, ...old.rest, ...fresh.rest]),
    kept: stage('kept', (old, fresh) => [...fresh.first, ...old.first.slice(0, 1), ...fresh.rest]),
    wanted: stage('wanted', (_, fresh) => [...fresh.first, ...fresh.rest]),
  };
  return {
    readers: stages.readers.text,
    promoted: stages.promoted.text,
    kept: stages.kept.text,
    wanted: stages.wanted.text,
    commentsKept: Object.values(stages).every((each) => each.commentsKept),
  };
}

interface StageText {
  readonly text: string;
  readonly commentsKept: boolean;
}

/** A rule's keys: those of its first element, whose first writes, and all others. An element stays in one piece, comments too. */
interface Parted {
  readonly first: readonly ProviderEntry[];
  readonly rest: readonly ProviderEntry[];
}

type Order = (old: Parted, fresh: Parted) => readonly ProviderEntry[];

function parted(providers: readonly ProviderConfiguration[]): Parted {
  return { first: entriesOf(providers.slice(0, 1)), rest: entriesOf(providers.slice(1)) };
}

/** Entries as elements: those that the file has are named by their places. */
function listOf(
  entries: readonly ProviderEntry[],
  providers: readonly ProviderConfiguration[],
): ProviderList {
  const places = new Map<string, { readonly place: number; readonly key: number }>();
  const sizes = providers.map((provider, place) => {
    const own = entriesOf([provider]);
    for (const [key, entry] of own.entries()) {
      const name = fingerprintOfEntry(entry);
      if (!places.has(name)) places.set(name, { place, key });
    }
    return own.length;
  });
  const list: ProviderList[number][] = [];
  for (let at = 0; at < entries.length;) {
    const placeOf = (index: number): number | undefined => {
      const entry = entries[index];
      return entry === undefined ? undefined : places.get(fingerprintOfEntry(entry))?.place;
    };
    const place = placeOf(at);
    let end = at + 1;
    while (end < entries.length && placeOf(end) === place) end++;
    const run = entries.slice(at, end);
    at = end;
    if (place === undefined) {
      list.push(...providersOf(run));
      continue;
    }
    const keys = run.flatMap((entry) => places.get(fingerprintOfEntry(entry))?.key ?? []);
    const whole = keys.length === sizes[place] && keys.every((key, index) => key === index);
    list.push(whole ? place : { place, keys });
  }
  return list;
}

function unchanged(lists: readonly ProviderList[], { config }: EditedFile): boolean {
  return lists.every(
    (list, index) =>
      list.length === config.resources[index]?.providers.length &&
      list.every((item, place) => item === place),
  );
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

const IDENTITY: readonly ProviderConfiguration[] = [{ identity: {} }];

/** What the resources of a wanted rule are sealed with now; it must be the same for all of them. */
function oldProviders(
  current: EncryptionConfiguration,
  rule: ResourceConfiguration,
): readonly ProviderConfiguration[] {
  const found = rule.resources.map((name) => ruleCovering(current, name));
  const [first] = found;
  if (found.some((each) => each !== first)) {
    throw new OpsError(
      'config-invalid',
      `the wanted configuration has one rule for ${rule.resources.join(', ')}, which are under several rules now: write a rule for each`,
    );
  }
  return first === undefined ? IDENTITY : first.providers;
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
