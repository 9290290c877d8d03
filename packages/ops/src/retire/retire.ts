/**
 * May a key be deleted? No, while a live value, a revision that is not compacted, or a backup still needs it. What cannot be read, or
 * whose key cannot be told, counts as a need: a key that is deleted too early takes data with it.
 */
import { OpsError } from '../errors.js';
import { refuseWrongPrefix } from '../sources/prefix-check.js';
import type { Source } from '../sources/source.js';
import { identifyBackup, listBackups } from './backup-file.js';
import { isUndecided, needsKey, type KeyReference } from './key-reference.js';
import { collectKeyUses, type CollectOptions, type KeyUses } from './key-uses.js';
import { nearKeys, occurringKeys, type OccurringKey } from './occurring-keys.js';
import { openLedger, type Ledger, type LedgerEntry } from './ledger.js';

export interface RetireOptions extends CollectOptions {
  readonly key: KeyReference;
  readonly prefix: string;
  readonly source: Source;
  readonly backups?: {
    readonly directory: string;
    /** Checks the whole file. */
    readonly open: (path: string) => Promise<Source>;
  };
  /** Path; undefined: none is kept. */
  readonly ledgerFile?: string;
  /** True: values whose key cannot be told do not count. */
  readonly ignoreUndecided?: boolean;
}

/** One reason why the key may not be deleted. */
export interface Need {
  /** Where: the source's name, or the backup's path. */
  readonly source: string;
  /** `unreadable`: nobody can say what is in it. */
  readonly place: 'live' | 'history' | 'backup' | 'unreadable';
  readonly count: number;
  /** The storage keys of the first few. */
  readonly keys: readonly string[];
  readonly oldestRevision?: number;
  readonly newestRevision?: number;
  /** What to do, or why it is not known: one sentence. */
  readonly reason: string;
}

export interface RetireReport {
  readonly key: string;
  readonly mayDelete: boolean;
  readonly needed: readonly Need[];
  /** Backups of the ledger that need the key and are not in the folder: they may lie elsewhere. They do not change the answer. */
  readonly elsewhere: readonly string[];
  /** Backups looked at, and of these, those that the ledger knew. */
  readonly backups: { readonly checked: number; readonly fromLedger: number };
  /** False: no value, older revision or backup that was looked at or is in the ledger names the key. It may be misspelt. */
  readonly occurs: boolean;
  /** Every key that occurs in what was looked at. */
  readonly seen: readonly OccurringKey[];
  /** Where the key does not occur: keys that do, and may have been meant, as `--key` takes them. */
  readonly didYouMean: readonly string[];
  readonly lookedAt: LookedAt;
}

interface LookedAt {
  /** The source: its live values and older revisions. */
  readonly source: string;
  /** The folder of backups. */
  readonly snapshots?: string;
  /** What the answer leaves out: one sentence. */
  readonly note?: string;
}

/** @throws OpsError source-unreadable, source-damaged, state-invalid, interrupted, invalid-option: nothing lies under the prefix, but elsewhere, or
 * the key is identity, which is none */
export async function mayRetire(options: RetireOptions): Promise<RetireReport> {
  const { key, source, prefix, backups } = options;
  const ledger = await openLedger(options.ledgerFile);
  const uses = await collectKeyUses(source, Buffer.from(prefix), options);
  if (uses.length === 0) await refuseWrongPrefix(source, Buffer.from(prefix));
  const needed: Need[] = needsOf(uses, source.name, options);
  const allUses = [...uses];
  const inFolder = new Set<string>();
  let fromLedger = 0;
  const names = backups === undefined ? [] : await listBackups(backups.directory);
  for (const name of names) {
    const { entry, known, problem } = await readBackup(options, ledger, name);
    if (known) fromLedger++;
    if (entry !== undefined) {
      inFolder.add(entry.sha256);
      allUses.push(...entry.uses);
      needed.push(...needsOf(entry.uses, entry.file, options).map(ofBackup));
    }
    if (problem !== undefined) needed.push(problem);
  }
  const elsewhere = ledger
    .entries()
    .filter((entry) => !inFolder.has(entry.sha256) && needsOf(entry.uses, entry.file, options).length > 0)
    .map((entry) => entry.file);
  const occurs = elsewhere.length > 0 || allUses.some((each) => needsKey(each, key));
  if (!occurs) refuseIdentity(key);
  const seen = occurringKeys(allUses);
  return {
    key: key.text,
    mayDelete: needed.length === 0,
    needed,
    elsewhere,
    backups: { checked: names.length, fromLedger },
    occurs,
    seen,
    didYouMean: occurs ? [] : nearKeys(key, seen),
    lookedAt: lookedAt(source, backups?.directory, names.length),
  };
}

/** Plaintext needs no key: "nothing needs it" would be taken for "nothing is plaintext". A KMS may have the name. */
function refuseIdentity({ name, providers }: KeyReference): void {
  if (providers !== undefined || !/^identity(:|$)/.test(name)) return;
  throw new OpsError(
    'invalid-option',
    'identity has no key: what it writes is plaintext. waxseal scan counts it, and waxseal residue finds what is left of it.',
  );
}

function lookedAt({ name }: Source, snapshots: string | undefined, checked: number): LookedAt {
  if (snapshots === undefined) {
    const note = `only ${name} was looked at, its live values and older revisions; give --snapshots for the backups`;
    return { source: name, note };
  }
  const note = `${snapshots} holds no backups, so only ${name} was looked at`;
  return { source: name, snapshots, ...(checked === 0 ? { note } : {}) };
}

const REASONS = {
  live: 'live objects are sealed with it: rewrap them',
  history: 'older revisions are sealed with it: compact, then defragment',
} as const;

function needsOf(uses: readonly KeyUses[], source: string, options: RetireOptions): Need[] {
  const need = (each: KeyUses, reason: string): Need => ({
    source,
    place: each.place,
    count: each.count,
    keys: each.firstKeys,
    oldestRevision: each.oldestRevision,
    newestRevision: each.newestRevision,
    reason,
  });
  return uses.flatMap((each) => {
    if (needsKey(each, options.key)) return [need(each, REASONS[each.place])];
    if (options.ignoreUndecided === true || !isUndecided(each)) return [];
    return [need(each, 'nobody can tell which key these need: verify them, delete what is damaged')];
  });
}

function ofBackup(need: Need): Need {
  const what = need.place === 'live' ? 'objects' : 'older revisions';
  return {
    ...need,
    place: 'backup',
    reason: `${what} in this backup need it: delete the backup, or re-encrypt it with recover --reencrypt-with`,
  };
}

interface BackupAnswer {
  readonly entry?: LedgerEntry;
  readonly known: boolean;
  readonly problem?: Need;
}

async function readBackup(options: RetireOptions, ledger: Ledger, name: string): Promise<BackupAnswer> {
  const { backups, prefix } = options;
  if (backups === undefined) return { known: false };
  if (options.signal?.aborted === true) {
    throw new OpsError('interrupted', 'interrupted; what is in the ledger stays there');
  }
  let path = name;
  try {
    const backup = await identifyBackup(backups.directory, name);
    path = backup.path;
    const known = ledger.find(backup, prefix);
    if (known !== undefined) {
      // A backup that was moved is found where it is now.
      const entry = { ...known, file: path };
      if (known.file !== path) await ledger.record(entry);
      return { known: true, entry };
    }
    const source = await backups.open(path);
    try {
      const uses = await collectKeyUses(source, Buffer.from(prefix), options);
      if (uses.length === 0) await refuseWrongPrefix(source, Buffer.from(prefix));
      const { sha256, sizeBytes } = backup;
      const entry = { file: path, sha256, sizeBytes, revision: source.revision, prefix, uses };
      await ledger.record(entry);
      return { known: false, entry };
    } finally {
      await source.close();
    }
  } catch (error) {
    // The ledger is no backup.
    if (error instanceof OpsError && ['interrupted', 'file-unwritable'].includes(error.code)) throw error;
    const said = error instanceof Error ? error.message : String(error);
    const reason = `${said.replace(/[.;:\s]+$/, '')}; move away what is not a snapshot`;
    return { known: false, problem: { source: path, place: 'unreadable', count: 0, keys: [], reason } };
  }
}
