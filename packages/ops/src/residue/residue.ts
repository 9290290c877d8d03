/**
 * What is left behind: plaintext and values under old keys where no reader of the API sees them any more. Needs no key: every stored
 * value begins with what it is stored as.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { OpsError } from '../errors.js';
import { openDataDirSource, storeFolderOf } from '../sources/data-dir-source.js';
import { openSnapshotSource, type SnapshotSource } from '../sources/snapshot-source.js';
import { refuseWrongPrefix } from '../sources/prefix-check.js';
import { livePagesOf, type Source } from '../sources/source.js';
import { searchDatabase } from './database-leftovers.js';
import type { ResidueFix } from './fix.js';
import { Leftovers, type ResidueGroup, type ResiduePlace } from './leftovers.js';
import { backupFiles, findMarker, memberFiles, type Marker, type MarkerFind } from './marker.js';
import { searchMemberLog } from './member-log.js';
import { searchBackups, searchSentDatabases } from './other-databases.js';
import { backupRemedy, embeddedRemedy, memberRemedy } from './remedies.js';
import { searchStoreFile } from './store-leftovers.js';

interface ResidueProblem {
  readonly source: string;
  readonly message: string;
}

export interface ResidueReport {
  readonly groups: readonly ResidueGroup[];
  /** All copies of `groups`. */
  readonly total: number;
  /** Files that are not whole, or no snapshot; what is left of them was searched as far as it goes. */
  readonly problems: readonly ResidueProblem[];
  /** Only when a marker was given: where its bytes are, whatever is around them. */
  readonly markers?: readonly MarkerFind[];
  /** Only when a folder of backups was given: how many files it holds. */
  readonly backups?: { readonly checked: number };
  /** Only after a fix: what it did. Everything else is as it was found afterwards. */
  readonly fix?: ResidueFix;
  /** What a source of this kind does not show. */
  readonly notSearched: readonly string[];
}

export interface ResidueOptions {
  /** As keys begin: `/registry/`. */
  readonly prefix: Buffer;
  /** A folder of snapshots, compared with what is live. */
  readonly backups?: string | undefined;
  /** A known secret, searched byte for byte in every file that is looked at. */
  readonly marker?: Marker | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A live etcd: live values and older revisions, as nothing else can be asked for.
 *
 * @throws OpsError source-unreadable, source-damaged, invalid-option for a prefix under which nothing lies
 */
export async function residueOfEtcd(source: Source, options: ResidueOptions): Promise<ResidueReport> {
  const search = new Search(options, await withToday(source, options, memberRemedy));
  await search.history(source, memberRemedy('history'));
  return search.report([], ['free pages of database files', 'WAL files']);
}

/**
 * The embedded store of a data directory, while no server has it open: older revisions, free pages and slack.
 *
 * @param path a data directory of `waxseal up` or `waxseal apiserver`, or the store's own folder
 * @throws OpsError source-unreadable, source-damaged, invalid-option for a prefix under which nothing lies
 */
export async function residueOfDataDir(path: string, options: ResidueOptions): Promise<ResidueReport> {
  const { dataFile } = storeFolderOf(path);
  // Open while its file is read: no server can come in between.
  const source = await openDataDirSource(path);
  try {
    const search = new Search(options, await withToday(source, options, embeddedRemedy));
    await search.history(source, embeddedRemedy('history'));
    await searchStoreFile({
      ...options,
      path: dataFile,
      revision: source.revision,
      leftovers: search.leftovers,
      remedy: embeddedRemedy('free-pages'),
    });
    return await search.report([dataFile], []);
  } finally {
    await source.close();
  }
}

/**
 * A snapshot or a database file: older revisions, free pages and slack.
 *
 * @param path the file that `source` reads
 * @throws OpsError source-unreadable, source-damaged, invalid-option for a prefix under which nothing lies
 */
export async function residueOfSnapshot(
  source: SnapshotSource,
  path: string,
  options: ResidueOptions,
): Promise<ResidueReport> {
  const search = new Search(options, await withToday(source, options, backupRemedy));
  await searchDatabase({ ...options, source, leftovers: search.leftovers, remedy: backupRemedy });
  return search.report([path], ['WAL files']);
}

/**
 * The data directory of a member of etcd that is stopped: its database, the databases it was sent, its log and raft's snapshots.
 *
 * @param directory etcd's --data-dir
 * @throws OpsError source-unreadable, source-damaged, invalid-option for a prefix under which nothing lies
 */
export async function residueOfMember(directory: string, options: ResidueOptions): Promise<ResidueReport> {
  const folder = join(directory, 'member');
  const database = join(folder, 'snap', 'db');
  if (!existsSync(database)) {
    throw new OpsError(
      'source-unreadable',
      `${directory} holds no member/snap/db: name the --data-dir of etcd.`,
    );
  }
  const source = await openSnapshotSource(database);
  let search: Search;
  try {
    search = new Search(options, await withToday(source, options, memberRemedy));
    await searchDatabase({ ...options, source, leftovers: search.leftovers, remedy: memberRemedy });
  } finally {
    await source.close();
  }
  await searchSentDatabases(join(folder, 'snap'), search.parts);
  await searchMemberLog({ ...search.parts, folder, remedy: memberRemedy });
  return search.report(await memberFiles(directory), ['other members']);
}

/** One search: what every kind of source has in common. */
class Search {
  readonly leftovers: Leftovers;
  readonly #options: ResidueOptions;
  readonly #problems: ResidueProblem[] = [];

  constructor(options: ResidueOptions, leftovers: Leftovers) {
    this.#options = options;
    this.leftovers = leftovers;
  }

  get parts(): {
    readonly prefix: Buffer;
    readonly leftovers: Leftovers;
    readonly onProblem: (source: string, message: string) => void;
    readonly onProgress: ResidueOptions['onProgress'];
    readonly signal: AbortSignal | undefined;
  } {
    const { prefix, onProgress, signal } = this.#options;
    const onProblem = (source: string, message: string): void => {
      this.#problems.push({ source, message });
    };
    return { prefix, leftovers: this.leftovers, onProblem, onProgress, signal };
  }

  async history(source: Source, remedy: string): Promise<void> {
    const finding = { source: source.name, place: 'history', remedy } as const;
    for await (const { key, value } of source.past(this.#options.prefix)) {
      this.#options.signal?.throwIfAborted();
      this.leftovers.add(finding, key, value);
    }
  }

  /**
   * Searches the backups, then all files for the marker.
   *
   * @param files of the source itself
   * @param notSearched besides backups
   */
  async report(files: readonly string[], notSearched: readonly string[]): Promise<ResidueReport> {
    const { backups, marker, signal } = this.#options;
    const checked = backups === undefined ? undefined : await searchBackups(backups, this.parts);
    const searched = backups === undefined ? files : [...files, ...(await backupFiles(backups))];
    const groups = this.leftovers.groups();
    let total = 0;
    for (const { count } of groups) total += count;
    return {
      groups,
      total,
      problems: this.#problems,
      ...(marker === undefined ? {} : { markers: await findMarker(searched, marker, signal) }),
      ...(checked === undefined ? {} : { backups: { checked } }),
      notSearched: [...notSearched, backups === undefined ? 'backups' : `backups outside ${backups}`],
    };
  }
}

async function withToday(
  source: Source,
  { prefix, signal }: ResidueOptions,
  remedyOf: (place: ResiduePlace) => string,
): Promise<Leftovers> {
  const finding = { source: source.name, place: 'live', remedy: remedyOf('live') } as const;
  const leftovers = new Leftovers(prefix.toString());
  let live = 0;
  for await (const page of livePagesOf(source, prefix)) {
    signal?.throwIfAborted();
    live += page.length;
    for (const value of page) leftovers.addLive(finding, value);
  }
  if (live === 0) await refuseWrongPrefix(source, prefix);
  return leftovers;
}
