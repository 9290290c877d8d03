/**
 * What is left behind, counted by place, resource and how it is stored. Left behind is a value that is not stored as the newest live
 * value of its resource is: plaintext of what is sealed today, or a key that is written with no more. Copies of values stored as today's
 * are of no interest. A resource without any live value has no today: all of it counts.
 */
import { parseObjectPath } from '../object-path.js';
import type { StoredKeyValue } from '../sources/source.js';
import { createStoredValueDescriber, type ProviderKind } from '../stored-value.js';
import { objectKindOf } from './object-kind.js';

/**
 * - `live`: what a rewrap has not yet reached; in a backup, what was live then
 * - `history`: revisions that were replaced or deleted, and are not yet compacted
 * - `free-pages`, `page-slack`: bytes of a database file that nothing points to: whole pages, and what is behind the entries of a page
 * - `wal`: records of the write-ahead log; `wal-slack`: behind its last whole record, and files beside it that are no segments
 * - `raft-snapshot`: files of `member/snap` that are no database
 */
export type ResiduePlace =
  'live' | 'history' | 'free-pages' | 'page-slack' | 'wal' | 'wal-slack' | 'raft-snapshot';

export interface ResidueGroup {
  /** The file or server it lies in. */
  readonly source: string;
  readonly place: ResiduePlace;
  /**
   * `secrets`, `deployments.apps`; `(other)`: the key is not an object's; `(unknown)` or `(Kind.group)`: the key is lost, and nothing that
   * is live tells the resource.
   */
  readonly resource: string;
  readonly provider: ProviderKind;
  readonly key: string;
  /** Copies, not objects: one object's value may lie in several places of a file. */
  readonly count: number;
  readonly bytes: number;
  /** The first keys; never values. Empty where the keys are lost. */
  readonly examples: readonly string[];
  /** What removes it. */
  readonly remedy: string;
}

export interface Finding {
  readonly source: string;
  readonly place: ResiduePlace;
  readonly remedy: string;
}

const EXAMPLES_MAX = 3;
/** Less of a value that is cut short does not say how it is stored. */
const TELLING_BYTES = 64;

const UNKNOWN_RESOURCE = '(unknown)';

type Way = Pick<ResidueGroup, 'resource' | 'provider' | 'key'>;
type Counted = { -readonly [Name in keyof ResidueGroup]: ResidueGroup[Name] } & { examples: string[] };

export class Leftovers {
  readonly #prefix: string;
  readonly #describe = createStoredValueDescriber();
  readonly #today = new Map<string, Way & { readonly revision: number }>();
  readonly #groups = new Map<string, Counted>();
  /** Every way in which something is live. */
  readonly #live = new Map<string, Counted>();

  /** @param prefix `/registry/` */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** What is live says how a resource is stored today. All of it comes before the first `add`. */
  addLive(finding: Finding, { key, value, modRevision }: StoredKeyValue): void {
    const name = key.toString();
    const way = this.#way(name, value);
    count(this.#live, finding, way, value.length, name);
    const known = this.#today.get(way.resource);
    if (known === undefined || known.revision < modRevision) {
      this.#today.set(way.resource, { ...way, revision: modRevision });
    }
  }

  add({ source, place, remedy }: Finding, key: Buffer, value: Buffer, isWhole = true): void {
    const name = key.toString();
    if (!name.startsWith(this.#prefix)) return;
    if (!isWhole && value.length < TELLING_BYTES) return;
    const way = this.#way(name, value);
    if (isStoredAs(this.#today.get(way.resource), way, isWhole)) return;
    count(this.#groups, { source, place, remedy }, way, value.length, name);
  }

  /** A value whose key is lost. Plaintext says its kind; of what is sealed only the way is known: one that is any resource's is today's. */
  addKeyless(finding: Finding, value: Buffer, isWhole: boolean): void {
    if (!isWhole && value.length < TELLING_BYTES) return;
    const { provider, key } = this.#describe(value);
    const resource = provider === 'identity' ? this.#resourceOfObject(value) : UNKNOWN_RESOURCE;
    const way = { resource, provider, key };
    const todays = resource === UNKNOWN_RESOURCE ? [...this.#today.values()] : [this.#today.get(resource)];
    if (todays.some((today) => isStoredAs(today, way, isWhole))) return;
    count(this.#groups, finding, way, value.length);
  }

  /** Plural names begin as the kind does, but for its last letter: policies are of kind Policy. */
  #resourceOfObject(value: Buffer): string {
    const object = objectKindOf(value);
    if (object === undefined) return UNKNOWN_RESOURCE;
    const suffix = object.group === '' ? '' : `.${object.group}`;
    const beginning = object.kind.toLowerCase().slice(0, -1);
    const known = [...this.#today.keys()].filter((resource) => {
      const name = suffix === '' ? resource : resource.slice(0, -suffix.length);
      return resource === `${name}${suffix}` && !name.includes('.') && name.startsWith(beginning);
    });
    // Of several the shortest: ingresses, not ingressclasses.
    return known.toSorted((a, b) => a.length - b.length)[0] ?? `(${object.kind}${suffix})`;
  }

  groups(): readonly ResidueGroup[] {
    const live = [...this.#live.values()].filter(
      (group) => !isStoredAs(this.#today.get(group.resource), group, true),
    );
    return [...live, ...this.#groups.values()];
  }

  #way(name: string, value: Buffer): Way {
    const path = parseObjectPath(name, this.#prefix);
    const { provider, key } = this.#describe(value);
    if (path === undefined) return { resource: '(other)', provider, key };
    return { resource: path.group === '' ? path.resource : `${path.resource}.${path.group}`, provider, key };
  }
}

function count(
  groups: Map<string, Counted>,
  { source, place, remedy }: Finding,
  way: Way,
  bytes: number,
  name?: string,
): void {
  const id = JSON.stringify([source, place, way.resource, way.provider, way.key]);
  let group = groups.get(id);
  if (group === undefined) {
    group = { source, place, ...way, count: 0, bytes: 0, examples: [], remedy };
    groups.set(id, group);
  }
  group.count++;
  group.bytes += bytes;
  if (name === undefined || group.examples.includes(name)) return;
  if (group.examples.length < EXAMPLES_MAX) group.examples.push(name);
}

function isStoredAs(today: Way | undefined, way: Way, isWhole: boolean): boolean {
  if (today?.provider !== way.provider) return false;
  // The keyID stands behind the ciphertext: what is cut short does not say it.
  return today.key === way.key || (!isWhole && way.key === '');
}
