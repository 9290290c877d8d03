/** What removes what is left behind. */
import type { ResiduePlace } from './leftovers.js';

const WAL_ROTATION =
  'WAL rotation: etcd closes a segment at 64 MB, and deletes it when a snapshot of raft (every --snapshot-count writes) is newer than it and more than --max-wals segments are there. At once: remove the member, delete its --data-dir, add it again.';

const MEMBER: Readonly<Record<ResiduePlace, string>> = {
  live: 'Rewrap (waxseal rewrap).',
  history:
    'Compaction, then defragmentation of every member (waxseal residue --etcd URL --fix; etcdctl compact, etcdctl defrag).',
  'free-pages': 'Defragmentation of this member (waxseal residue --etcd URL --fix, or etcdctl defrag).',
  'page-slack': 'Defragmentation of this member (waxseal residue --etcd URL --fix, or etcdctl defrag).',
  wal: WAL_ROTATION,
  'wal-slack': WAL_ROTATION,
  'raft-snapshot':
    'WAL rotation: etcd deletes it when more than --max-snapshots newer ones are there. At once: remove the member, delete its --data-dir, add it again.',
};
const BACKUP =
  'Backup deletion: compact and defragment the cluster, take a new snapshot, then delete this file.';

export const memberRemedy = (place: ResiduePlace): string => MEMBER[place];
export const backupRemedy = (): string => BACKUP;
const EMBEDDED_HISTORY =
  'Compaction of the history: waxseal residue --data-dir DIR --fix while the server is stopped; while it runs, etcdctl compact through the etcd address that waxseal up prints, which clears no pages.';
const EMBEDDED_PAGES =
  'A new file of what is live, in place of this one: waxseal residue --data-dir DIR --fix while the server is stopped.';
export const embeddedRemedy = (place: ResiduePlace): string =>
  place === 'live' ? MEMBER.live : place === 'history' ? EMBEDDED_HISTORY : EMBEDDED_PAGES;
