/**
 * What is left behind: plaintext and values under old keys where no reader of the API sees them any more. Needs no key: every stored
 * value begins with what it is stored as.
 */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { OpsError } from '../errors.js';
import { openSnapshotSource, type SnapshotSource } from '../sources/snapshot-source.js';
import { refuseWrongPrefix } from '../sources/prefix-check.js';
import { livePagesOf, type Source } from '../sources/source.js';
import { searchDatabase } from './database-leftovers.js';
import { Leftovers, type ResidueGroup } from './leftovers.js';
import { findMarker, type MarkerFind } from './marker.js';
import { filesIn, searchMemberLog } from './member-log.js';
import { backupRemedy, embeddedRemedy, memberRemedy } from './remedies.js';

interface ResidueProblem {
  readonly source: string;
  readonly message: string;
}

export interface ResidueReport {
  readonly groups: readonly ResidueGroup[];
  /** All copies of `groups`. */
  readonly total: number;
  /** Files that are not whole; what is left of them was searched as far as it goes. */
  readonly problems: readonly ResidueProblem[];
  /** Only when a marker was given: where its bytes are, whatever is around them. */
  readonly markers?: readonly MarkerFind[];
  /** What a source of this kind does not show. */
  readonly notSearched: readonly string[];
}

export interface ResidueOptions {
  /** As keys begin: `/registry/`. */
  readonly prefix: Buffer;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A live etcd: older revisions, as nothing else can be asked for.
 *
 * @throws OpsError source-unreadable, source-damaged, invalid-option for a prefix under which nothing lies
 */
export async function residueOfEtcd(source: Source, options: ResidueOptions): Promise<ResidueReport> {
  const leftovers = await searchHistory(source, options, memberRemedy('history'));
  return report(leftovers, [], ['free pages of database files', 'WAL files', 'backups']);
}

/**
 * The embedded store of a data directory: older revisions.
 *
 * @throws OpsError source-unreadable, source-damaged, invalid-option for a prefix under which nothing lies
 */
export async function residueOfDataDir(source: Source, options: ResidueOptions): Promise<ResidueReport> {
  const leftovers = await searchHistory(source, options, embeddedRemedy());
  return report(leftovers, [], ['free pages of the store', 'backups']);
}

async function searchHistory(source: Source, options: ResidueOptions, remedy: string): Promise<Leftovers> {
  const leftovers = await withToday(source, options);
  const finding = { source: source.name, place: 'history', remedy } as const;
  for await (const { key, value } of source.past(options.prefix)) {
    options.signal?.throwIfAborted();
    leftovers.add(finding, key, value);
  }
  return leftovers;
}

/**
 * A snapshot or a database file: older revisions, free pages and slack.
 *
 * @throws OpsError source-unreadable, source-damaged, invalid-option for a prefix under which nothing lies
 */
export async function residueOfSnapshot(
  source: SnapshotSource,
  options: ResidueOptions,
): Promise<ResidueReport> {
  const leftovers = await withToday(source, options);
  await searchDatabase({ ...options, source, leftovers, remedy: backupRemedy });
  return report(leftovers, [], ['WAL files', 'other backups']);
}

/**
 * The data directory of a member of etcd that is stopped: its database, the databases it was sent, its log and raft's snapshots.
 *
 * @param directory etcd's --data-dir
 * @throws OpsError source-unreadable, source-damaged, invalid-option for a prefix under which nothing lies
 */
export async function residueOfMember(directory: string, options: ResidueOptions): Promise<ResidueReport> {
  const member = join(directory, 'member');
  if (!existsSync(join(member, 'snap', 'db'))) {
    throw new OpsError(
      'source-unreadable',
      `${directory} holds no member/snap/db: name the --data-dir of etcd.`,
    );
  }
  const problems: ResidueProblem[] = [];
  const onProblem = (source: string, message: string): void => {
    problems.push({ source, message });
  };
  const source = await openSnapshotSource(join(member, 'snap', 'db'));
  let leftovers: Leftovers;
  try {
    leftovers = await withToday(source, options);
    await searchDatabase({ ...options, source, leftovers, remedy: memberRemedy });
  } finally {
    await source.close();
  }
  await searchSentDatabases(join(member, 'snap'), leftovers, options, onProblem);
  await searchMemberLog({
    folder: member,
    prefix: options.prefix,
    signal: options.signal,
    leftovers,
    remedy: memberRemedy,
    onProblem,
  });
  return report(leftovers, problems, ['other members', 'backups']);
}

/**
 * Adds where a known secret lies in a file, or in the files of a member.
 *
 * @param path a snapshot, or etcd's --data-dir
 * @throws OpsError invalid-option, source-unreadable
 */
export async function withMarker(
  found: ResidueReport,
  path: { readonly snapshot: string } | { readonly dataDirEtcd: string },
  marker: Buffer,
  signal?: AbortSignal,
): Promise<ResidueReport> {
  const paths = 'snapshot' in path ? [path.snapshot] : await memberFiles(path.dataDirEtcd);
  return { ...found, markers: await findMarker(paths, marker, signal) };
}

async function memberFiles(directory: string): Promise<readonly string[]> {
  const folders = ['snap', 'wal'].map((name) => join(directory, 'member', name));
  const files = await Promise.all(
    folders.map(async (folder) => (await filesIn(folder)).map((name) => join(folder, name))),
  );
  return files.flat().filter((file) => statSync(file).isFile());
}

/** `*.snap.db`: whole databases that a leader sent to a member that was far behind. */
async function searchSentDatabases(
  folder: string,
  leftovers: Leftovers,
  { prefix, signal }: ResidueOptions,
  onProblem: (source: string, message: string) => void,
): Promise<void> {
  for (const name of await filesIn(folder)) {
    if (!name.endsWith('.snap.db')) continue;
    const path = join(folder, name);
    try {
      const sent = await openSnapshotSource(path);
      try {
        await addAllLive(sent, prefix, leftovers);
        await searchDatabase({ source: sent, prefix, signal, leftovers, remedy: backupRemedy });
      } finally {
        await sent.close();
      }
    } catch (error) {
      if (!(error instanceof OpsError) || error.code !== 'source-damaged') throw error;
      onProblem(path, error.message);
    }
  }
}

async function addAllLive(source: Source, prefix: Buffer, leftovers: Leftovers): Promise<void> {
  const finding = { source: source.name, place: 'live', remedy: backupRemedy() } as const;
  for await (const { key, value } of source.live(prefix)) leftovers.add(finding, key, value);
}

async function withToday(source: Source, { prefix, signal }: ResidueOptions): Promise<Leftovers> {
  const leftovers = new Leftovers(prefix.toString());
  let live = 0;
  for await (const page of livePagesOf(source, prefix)) {
    signal?.throwIfAborted();
    live += page.length;
    for (const value of page) leftovers.addLive(value);
  }
  if (live === 0) await refuseWrongPrefix(source, prefix);
  return leftovers;
}

function report(
  leftovers: Leftovers,
  problems: readonly ResidueProblem[],
  notSearched: readonly string[],
): ResidueReport {
  const groups = leftovers.groups();
  let total = 0;
  for (const { count } of groups) total += count;
  return { groups, total, problems, notSearched };
}
