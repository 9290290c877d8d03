/**
 * What is sealed with which key, told without any key: counts and bytes of live values by resource, provider and key, and how many DEK
 * sources each group has.
 */
import { OpsError } from '../errors.js';
import { parseObjectPath } from '../object-path.js';
import { livePagesOf, type Source } from '../sources/source.js';
import { createStoredValueDescriber, type ProviderKind, type StoredValueKind } from '../stored-value.js';

/** Counts of what lies together. */
interface Tally {
  count: number;
  /** Of values alone, as stored. */
  bytes: number;
  /** Lowest and highest revision at which one of them was written. */
  oldestRevision: number;
  newestRevision: number;
}

export interface DekSourceTally extends Readonly<Tally> {
  /** 16 hexadecimal digits, as `describeStoredValue` tells them. */
  readonly dekSource: string;
}

export interface ScanGroup extends Readonly<Tally> {
  /** `secrets`, `deployments.apps`; as an EncryptionConfiguration names it. `(other)`: the key is not an object's. */
  readonly resource: string;
  readonly provider: ProviderKind;
  /** Name of a static key or of a KMS v1 provider, keyID of KMS v2; empty for identity and unknown. */
  readonly key: string;
  /** kms only: the provider's name in the configuration. */
  readonly kmsName?: string;
  /** kms-v2 only: the keyID as API servers' metrics hash it. */
  readonly keyIdHash?: string;
  /** kms only: the DEK sources, the one with most values first. KMS v1 has one for every value: see `moreDekSources`. */
  readonly dekSources: readonly DekSourceTally[];
  /** Values whose DEK source is not in `dekSources`, because there are more than `DEK_SOURCES_MAX`. */
  readonly moreDekSources: number;
  /** Values whose frame is not whole. */
  readonly broken: number;
}

export interface ScanResult {
  readonly source: string;
  readonly revision: number;
  /** By resource, then provider, then key. */
  readonly groups: readonly ScanGroup[];
  /** Values that anybody can read who can read the storage. */
  readonly plaintext: number;
  readonly total: number;
  readonly bytes: number;
}

export interface ScanOptions {
  /** As keys begin: `/registry/`. */
  readonly prefix: Buffer;
  /** After every few thousand values; `total` is about right. */
  readonly onProgress?: ((done: number, total: number | undefined) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Counted one by one in each group; what is beyond is counted together. */
export const DEK_SOURCES_MAX = 1_000;
const PROGRESS_VALUES = 2_000;
const OTHER = '(other)';

/** @throws OpsError source-unreadable, source-damaged, interrupted */
export async function scan(source: Source, options: ScanOptions): Promise<ScanResult> {
  const { prefix, onProgress, signal } = options;
  const expected = onProgress === undefined ? undefined : await source.countLive?.(prefix);
  const resourceOf = resourceNames(prefix.toString());
  const describe = createStoredValueDescriber();
  const groups = new Map<string, Group>();
  let total = 0;
  let reported = 0;
  for await (const page of livePagesOf(source, prefix)) {
    for (const { key, value, modRevision } of page) {
      const resource = resourceOf(key);
      const kind = describe(value);
      const id = `${resource}\0${kind.provider}\0${kind.key}\0${kind.kmsName ?? ''}`;
      let group = groups.get(id);
      if (group === undefined) groups.set(id, (group = new Group(resource, kind)));
      group.add(kind, value.length, modRevision);
    }
    total += page.length;
    if (total - reported < PROGRESS_VALUES) continue;
    reported = total;
    onProgress?.(total, expected);
    if (signal?.aborted === true) throw new OpsError('interrupted', 'the scan was stopped', signal.reason);
  }
  onProgress?.(total, total);
  const results = [...groups.values()].map((group) => group.result()).toSorted(byName);
  return {
    source: source.name,
    revision: source.revision,
    groups: results,
    plaintext: sum(results.filter(({ provider }) => provider === 'identity').map(({ count }) => count)),
    total,
    bytes: sum(results.map(({ bytes }) => bytes)),
  };
}

class Group {
  readonly #resource: string;
  readonly #kind: StoredValueKind;
  readonly #tally = newTally();
  readonly #dekSources = new Map<string, Tally>();
  #moreDekSources = 0;
  #broken = 0;

  constructor(resource: string, kind: StoredValueKind) {
    this.#resource = resource;
    this.#kind = kind;
  }

  add({ dekSource, problem }: StoredValueKind, bytes: number, revision: number): void {
    tally(this.#tally, bytes, revision);
    if (problem !== undefined) this.#broken++;
    if (dekSource === undefined) return;
    let known = this.#dekSources.get(dekSource);
    if (known === undefined && this.#dekSources.size < DEK_SOURCES_MAX) {
      this.#dekSources.set(dekSource, (known = newTally()));
    }
    if (known === undefined) this.#moreDekSources++;
    else tally(known, bytes, revision);
  }

  result(): ScanGroup {
    const { provider, key, kmsName, keyIdHash } = this.#kind;
    return {
      resource: this.#resource,
      provider,
      key,
      ...this.#tally,
      ...(kmsName === undefined ? {} : { kmsName }),
      ...(keyIdHash === undefined ? {} : { keyIdHash }),
      dekSources: [...this.#dekSources]
        .map(([dekSource, counts]) => ({ dekSource, ...counts }))
        .toSorted((a, b) => b.count - a.count || compare(a.dekSource, b.dekSource)),
      moreDekSources: this.#moreDekSources,
      broken: this.#broken,
    };
  }
}

function newTally(): Tally {
  return { count: 0, bytes: 0, oldestRevision: Number.MAX_SAFE_INTEGER, newestRevision: 0 };
}

function tally(counts: Tally, bytes: number, revision: number): void {
  counts.count++;
  counts.bytes += bytes;
  if (revision < counts.oldestRevision) counts.oldestRevision = revision;
  if (revision > counts.newestRevision) counts.newestRevision = revision;
}

/** Keys of one namespace come together in stores: what stands before the name is looked up once. */
const FOLDERS_MAX = 10_000;
const SLASH = 0x2f;

function resourceNames(prefix: string): (key: Buffer) => string {
  const known = new Map<string, string>();
  return (key) => {
    let end = key.length - 1;
    while (end > 0 && key[end] !== SLASH) end--;
    const folder = key.toString('latin1', 0, end);
    const before = known.get(folder);
    if (before !== undefined) return before;
    const path = parseObjectPath(key.toString(), prefix);
    const name =
      path === undefined ? OTHER : path.group === '' ? path.resource : `${path.resource}.${path.group}`;
    if (known.size >= FOLDERS_MAX) known.clear();
    known.set(folder, name);
    return name;
  };
}

function byName(a: ScanGroup, b: ScanGroup): number {
  return compare(a.resource, b.resource) || compare(a.provider, b.provider) || compare(a.key, b.key);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
