/**
 * etcd's database file (3.4 to 3.6): the bucket `key` holds every revision that was not compacted, in order; the bucket `meta` says how
 * far compaction went (`server/mvcc` of etcd).
 *
 * Two passes: the first learns which revision of each key is the newest and keeps the names of keys and one number for each revision; the
 * second hands out values. Memory does not grow with values.
 */
import { setImmediate } from 'node:timers/promises';
import { BoltDatabase, type BoltBucket } from '../bbolt/database.js';
import { readMeta } from '../bbolt/meta.js';
import { damaged, type LeafPage } from '../bbolt/page.js';
import type { PageFile } from '../bbolt/page-file.js';
import type { PastKeyValue, StoredKeyValue } from '../sources/source.js';
import { History } from './history.js';
import { KeyTable } from './key-table.js';
import { parseKey, parseKeyValue } from './key-value.js';
import { parseRevisionKey, type RevisionKey } from './revision-key.js';

/** After so many leaf pages signals and timers get their turn. */
const PAGES_PER_TURN = 256;
/** etcd's revision of an empty database. */
const FIRST_REVISION = 1;

export class EtcdDatabase {
  readonly bolt: BoltDatabase;
  /** The last revision in the file. */
  readonly revision: number;
  /** First revision whose history can be read. */
  readonly compactRevision: number;
  readonly #keys: BoltBucket;
  readonly #history: History;
  readonly #file: PageFile;

  private constructor(
    file: PageFile,
    bolt: BoltDatabase,
    keys: BoltBucket,
    history: History,
    lastRevision: number,
  ) {
    this.#file = file;
    this.bolt = bolt;
    this.#keys = keys;
    this.#history = history;
    const { scheduled, finished } = compactions(bolt);
    this.revision = Math.max(FIRST_REVISION, lastRevision, scheduled);
    this.compactRevision = Math.min(this.revision, Math.max(FIRST_REVISION, scheduled, finished));
  }

  /**
   * Reads every key once.
   *
   * @param hashSeed 32 random bits
   * @throws OpsError source-damaged
   */
  static async open(file: PageFile, hashSeed: number): Promise<EtcdDatabase> {
    const bolt = new BoltDatabase(file);
    const keys = bolt.bucket('key');
    if (keys === undefined) throw damaged('it has no bucket "key": it is not a database of etcd');
    const history = new History();
    const table = new KeyTable(hashSeed);
    let last = 0;
    for await (const leaf of leafPagesOf(bolt, keys)) {
      for (let index = 0; index < leaf.count; index++) {
        const { main, isTombstone } = revisionAt(leaf, index);
        const [at, end] = [leaf.valueAt(index), leaf.endAt(index)];
        last = main;
        const place = history.add(!isTombstone && end > at);
        if (end === at) continue;
        const before = table.set(parseKey(leaf.bytes, at, end), place);
        if (before !== undefined) history.supersede(before, main, isTombstone);
      }
    }
    return new EtcdDatabase(file, bolt, keys, history, last);
  }

  /** Live keys of the whole file. */
  get liveCount(): number {
    return this.#history.liveCount;
  }

  /** Newest values under any of the prefixes, in order of revision, a page at a time. */
  async *livePages(...prefixes: readonly Buffer[]): AsyncGenerator<readonly StoredKeyValue[]> {
    let place = 0;
    for await (const leaf of leafPagesOf(this.bolt, this.#keys)) {
      const page: StoredKeyValue[] = [];
      for (let index = 0; index < leaf.count; index++) {
        if (!this.#history.isLive(place++)) continue;
        const kv = keyValueAt(leaf, index);
        if (prefixes.some((prefix) => startsWith(kv.key, prefix))) page.push(kv);
      }
      if (page.length > 0) yield page;
    }
    this.#checkUnchanged();
  }

  /** Values under the prefix that were replaced or deleted and not yet compacted, in order of revision. */
  async *past(prefix: Buffer): AsyncGenerator<PastKeyValue> {
    let place = 0;
    for await (const leaf of leafPagesOf(this.bolt, this.#keys)) {
      for (let index = 0; index < leaf.count; index++) {
        const fate = this.#history.fateAt(place++);
        if (fate.kind === 'live' || fate.kind === 'no-value') continue;
        const kv = keyValueAt(leaf, index);
        if (!startsWith(kv.key, prefix)) continue;
        yield { ...kv, supersededBy: fate.kind === 'replaced' ? fate.atRevision : undefined };
      }
    }
    this.#checkUnchanged();
  }

  /** A member that runs writes into the file that is read. */
  #checkUnchanged(): void {
    this.#file.forget();
    if (readMeta(this.#file).transactionId !== this.bolt.meta.transactionId) {
      throw damaged('it was written to while it was read; stop the member first, or take a snapshot');
    }
  }
}

async function* leafPagesOf(bolt: BoltDatabase, keys: BoltBucket): AsyncGenerator<LeafPage> {
  let pages = 0;
  for (const leaf of bolt.leafPages(keys)) {
    yield leaf;
    if (++pages % PAGES_PER_TURN === 0) await setImmediate();
  }
}

function revisionAt(leaf: LeafPage, index: number): RevisionKey {
  if (leaf.isBucket(index)) throw damaged('the bucket "key" holds a bucket');
  return parseRevisionKey(leaf.bytes, leaf.keyAt(index), leaf.valueAt(index));
}

function keyValueAt(leaf: LeafPage, index: number): StoredKeyValue {
  const { main } = revisionAt(leaf, index);
  const kv = parseKeyValue(leaf.bytes, leaf.valueAt(index), leaf.endAt(index));
  if (kv.modRevision !== main || kv.createRevision > main) {
    throw damaged(`the value stored at revision ${main} says it is of revision ${kv.modRevision}`);
  }
  return kv;
}

/** Compaction is scheduled, then done in steps, then finished; what is scheduled can no longer be asked for. */
function compactions(bolt: BoltDatabase): { readonly scheduled: number; readonly finished: number } {
  const meta = bolt.bucket('meta');
  const found = { scheduled: 0, finished: 0 };
  if (meta === undefined) return found;
  for (const leaf of bolt.leafPages(meta)) {
    for (let index = 0; index < leaf.count; index++) {
      const name = leaf.key(index).toString('latin1');
      if (name === 'scheduledCompactRev') found.scheduled = parseRevisionKey(leaf.value(index)).main;
      if (name === 'finishedCompactRev') found.finished = parseRevisionKey(leaf.value(index)).main;
    }
  }
  return found;
}

function startsWith(key: Buffer, prefix: Buffer): boolean {
  return key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
}
