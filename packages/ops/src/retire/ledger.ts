/**
 * The ledger: which backup needs which keys. JSON lines, one for each backup, so that a large snapshot is read once and a
 * backup that was moved elsewhere is not forgotten. It names keys and objects, never holds keys.
 */
import { readFile } from 'node:fs/promises';
import { OpsError } from '../errors.js';
import { replaceFile } from '../replace-file.js';
import type { BackupFile } from './backup-file.js';
import type { KeyUses } from './key-uses.js';

export interface LedgerEntry {
  /** Where it was seen last. */
  readonly file: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  /** The snapshot's newest revision. */
  readonly revision: number;
  /** Only keys under it were looked at. */
  readonly prefix: string;
  readonly uses: readonly KeyUses[];
}

export interface Ledger {
  entries(): readonly LedgerEntry[];
  find(backup: Pick<BackupFile, 'sha256' | 'sizeBytes'>, prefix: string): LedgerEntry | undefined;
  /** On disk when it resolves. */
  record(entry: LedgerEntry): Promise<void>;
}

const FORMAT = 1;

/**
 * @param file missing: an empty ledger, written at the first record; undefined: kept in memory only
 * @throws OpsError source-unreadable, state-invalid
 */
export async function openLedger(file: string | undefined): Promise<Ledger> {
  const entries = new Map<string, LedgerEntry>();
  const idOf = ({
    sha256,
    sizeBytes,
    prefix,
  }: Pick<LedgerEntry, 'sha256' | 'sizeBytes' | 'prefix'>): string =>
    JSON.stringify([sha256, sizeBytes, prefix]);
  for (const entry of file === undefined ? [] : await readLedger(file)) entries.set(idOf(entry), entry);
  return {
    entries: () => [...entries.values()],
    find: (backup, prefix) => entries.get(idOf({ ...backup, prefix })),
    async record(entry) {
      entries.set(idOf(entry), entry);
      if (file === undefined) return;
      const lines = [...entries.values()].map((each) => `${JSON.stringify({ format: FORMAT, ...each })}\n`);
      await replaceFile(file, lines.join(''));
    },
  };
}

async function readLedger(file: string): Promise<readonly LedgerEntry[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw new OpsError('source-unreadable', `the ledger ${file} cannot be read: ${String(error)}`, error);
  }
  const lines = text.split('\n');
  return lines.flatMap((line, index) => {
    if (line === '') return [];
    const entry = parseEntry(line);
    if (entry !== undefined) return [entry];
    throw new OpsError(
      'state-invalid',
      `the ledger ${file} is damaged at line ${index + 1}: remove that line, and the backup is read again`,
    );
  });
}

function parseEntry(line: string): LedgerEntry | undefined {
  const entry = record(parseJson(line));
  if (entry?.['format'] !== FORMAT || !Array.isArray(entry['uses'])) return undefined;
  const { file, sha256, sizeBytes, revision, prefix } = entry;
  const uses = (entry['uses'] as readonly unknown[]).map(parseUses);
  if (typeof file !== 'string' || typeof sha256 !== 'string' || typeof prefix !== 'string') return undefined;
  if (!/^[0-9a-f]{64}$/.test(sha256) || !isCount(sizeBytes) || !isCount(revision)) return undefined;
  if (!uses.every((each) => each !== undefined)) return undefined;
  return { file, sha256, sizeBytes, revision, prefix, uses };
}

const PROVIDERS = ['identity', 'aescbc', 'aesgcm', 'secretbox', 'kms-v1', 'kms-v2', 'unknown'] as const;

function parseUses(value: unknown): KeyUses | undefined {
  const fields = record(value);
  const provider = PROVIDERS.find((each) => each === fields?.['provider']);
  if (fields === undefined || provider === undefined) return undefined;
  const { key, kmsName, place, count, firstKeys, oldestRevision, newestRevision } = fields;
  if (typeof key !== 'string' || (kmsName !== undefined && typeof kmsName !== 'string')) return undefined;
  if ((place !== 'live' && place !== 'history') || !isCount(count)) return undefined;
  if (!isCount(oldestRevision) || !isCount(newestRevision) || !Array.isArray(firstKeys)) return undefined;
  const keys = firstKeys as readonly unknown[];
  if (!keys.every((each) => typeof each === 'string')) return undefined;
  const name = kmsName === undefined ? {} : { kmsName };
  return { provider, key, ...name, place, count, firstKeys: keys, oldestRevision, newestRevision };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
