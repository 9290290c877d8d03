/**
 * What is left behind, counted by place, resource and how it is stored. Left behind is a value that is not stored as the newest live
 * value of its resource is: plaintext of what is sealed today, or a key that is written with no more. Copies of values stored as today's
 * are of no interest. A resource without any live value has no today: all of it counts.
 */
import { parseObjectPath } from '../object-path.js';
import type { StoredKeyValue } from '../sources/source.js';
import { createStoredValueDescriber, type ProviderKind } from '../stored-value.js';

/**
 * - `live`: in a backup, what was live then
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
  /** `secrets`, `deployments.apps`; `(other)`: the key is not an object's. */
  readonly resource: string;
  readonly provider: ProviderKind;
  readonly key: string;
  /** Copies, not objects: one object's value may lie in several places of a file. */
  readonly count: number;
  readonly bytes: number;
  /** The first keys; never values. */
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

type Way = Pick<ResidueGroup, 'resource' | 'provider' | 'key'>;
type Counted = { -readonly [Name in keyof ResidueGroup]: ResidueGroup[Name] } & { examples: string[] };

export class Leftovers {
  readonly #prefix: string;
  readonly #describe = createStoredValueDescriber();
  readonly #today = new Map<string, Way & { readonly revision: number }>();
  readonly #groups = new Map<string, Counted>();

  /** @param prefix `/registry/` */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** What is live says how a resource is stored today. All of it comes before the first `add`. */
  addLive({ key, value, modRevision }: StoredKeyValue): void {
    const way = this.#way(key.toString(), value);
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
    const today = this.#today.get(way.resource);
    if (today?.provider === way.provider) {
      // The keyID stands behind the ciphertext: what is cut short does not say it.
      if (today.key === way.key || (!isWhole && way.key === '')) return;
    }
    const id = JSON.stringify([source, place, way.resource, way.provider, way.key]);
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = { source, place, ...way, count: 0, bytes: 0, examples: [], remedy };
      this.#groups.set(id, group);
    }
    group.count++;
    group.bytes += value.length;
    if (group.examples.length < EXAMPLES_MAX && !group.examples.includes(name)) group.examples.push(name);
  }

  groups(): readonly ResidueGroup[] {
    return [...this.#groups.values()];
  }

  #way(name: string, value: Buffer): Way {
    const path = parseObjectPath(name, this.#prefix);
    const { provider, key } = this.#describe(value);
    if (path === undefined) return { resource: '(other)', provider, key };
    return { resource: path.group === '' ? path.resource : `${path.resource}.${path.group}`, provider, key };
  }
}
