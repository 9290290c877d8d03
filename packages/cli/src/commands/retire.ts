/** `waxseal retire`: may a key be deleted? */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import {
  mayRetire,
  openSnapshotSource,
  parseKeyReference,
  refuseUnconfiguredKey,
  type Need,
  type RetireReport,
} from '@waxseal/ops';
import { exitCodes, usageError } from '../errors.js';
import { runUntilDone } from '../lifetime.js';
import type { OutputFormat } from '../options.js';
import { keyPrefix, openSource, type SourceOptions } from '../source-options.js';
import { formatTable } from '../table.js';
import { printable, printableJson } from '../terminal-text.js';

export interface RetireCommandOptions extends Omit<SourceOptions, 'key'> {
  /** The key of the encryption; beside it, the PEM key's file may be named so, as for etcdctl. */
  readonly key: readonly string[];
  /** The PEM key's file. */
  readonly etcdKey?: string;
  readonly snapshots?: string;
  readonly ledger?: string;
  readonly encryptionConfig?: string;
  readonly ignoreUndecided: boolean;
  readonly output: OutputFormat;
}

export async function retire(options: RetireCommandOptions): Promise<void> {
  const { snapshots, ledger, encryptionConfig, key: _keys, ...where } = options;
  const { keyText, etcdKey } = tellKeysApart(options);
  const key = parseKeyReference(keyText);
  if (encryptionConfig !== undefined) {
    refuseUnconfiguredKey(key, { file: encryptionConfig, text: await readFile(encryptionConfig, 'utf8') });
  }
  const report = await runUntilDone(async (signal) => {
    const source = await openSource(
      { ...where, ...(etcdKey === undefined ? {} : { key: etcdKey }) },
      { signal },
    );
    try {
      return await mayRetire({
        key,
        source,
        signal,
        prefix: keyPrefix(options).toString(),
        ignoreUndecided: options.ignoreUndecided,
        ...(snapshots === undefined ? {} : { backups: { directory: snapshots, open: openSnapshotSource } }),
        ...(ledger === undefined ? {} : { ledgerFile: ledger }),
      });
    } finally {
      await source.close();
    }
  });
  if (!report.mayDelete) process.exitCode = exitCodes.negative;
  console.log(options.output === 'json' ? printableJson(report) : formatRetireReport(report));
}

/** A file that is taken for a key of the encryption would be needed by nothing, and the answer a wrong yes. */
function tellKeysApart({ key, cert, etcdKey }: RetireCommandOptions): {
  readonly keyText: string;
  readonly etcdKey: string | undefined;
} {
  const [first = '', second, ...more] = key;
  if (second === undefined) {
    if (cert === undefined || etcdKey !== undefined) return { keyText: first, etcdKey };
    throw usageError('--cert needs its key', 'Name that file by --etcd-key; --key is the key in question.');
  }
  const files = key.filter((each) => existsSync(each));
  const [file] = files;
  if (more.length > 0 || cert === undefined || etcdKey !== undefined || files.length !== 1) {
    throw usageError(
      '--key is given more than once, and it is not clear which is the key in question',
      'Ask about one key at a time, and name the key file of --cert by --etcd-key.',
    );
  }
  return { keyText: first === file ? second : first, etcdKey: file };
}

export function formatRetireReport(report: RetireReport): string {
  const { key, mayDelete, needed, elsewhere, occurs, lookedAt } = report;
  const lines = [printable(answerOf(report))];
  if (!mayDelete) {
    lines.push(
      formatTable(
        ['WHERE', 'WHAT', 'VALUES', 'FIRST', 'REASON'],
        needed.map((need) => [need.source, need.place, String(need.count), firstOf(need), need.reason]),
      ),
    );
  }
  if (!occurs) lines.push('', ...whatOccurs(report));
  if (elsewhere.length > 0) {
    lines.push(
      '',
      `Backups that need ${printable(key)} were here before; where they lie now, they still do:`,
      ...elsewhere.map(printable),
    );
  }
  if (lookedAt.note !== undefined) lines.push('', printable(`Note: ${lookedAt.note}.`));
  return lines.join('\n');
}

function answerOf({ key, mayDelete, occurs, lookedAt: { snapshots } }: RetireReport): string {
  if (!mayDelete) return `${key} may not be deleted:`;
  if (occurs) return `Nothing needs ${key}: it may be deleted.`;
  const where =
    snapshots === undefined ? 'No value and no older revision names' : 'No value, revision or snapshot names';
  return `${where} ${key}: nothing needs it, so it may be deleted. It was never used, is wholly replaced, or is misspelt.`;
}

/** More than these are in the JSON. */
const KEYS_SHOWN = 20;

/** For whoever misspelt the name. */
function whatOccurs({ seen, didYouMean }: RetireReport): readonly string[] {
  if (seen.length === 0) return ['No key occurs at all.'];
  const rows = seen
    .slice(0, KEYS_SHOWN)
    .map(({ provider, key, kmsName = '', count }) => [provider, key, kmsName, String(count)]);
  const more = seen.length - rows.length;
  return [
    ...(didYouMean.length === 0 ? [] : [printable(`Did you mean ${didYouMean.join(' or ')}?`), '']),
    'These keys occur:',
    formatTable(['PROVIDER', 'KEY', 'KMS NAME', 'VALUES'], rows),
    ...(more > 0 ? [`and ${more} more; --output json has them all`] : []),
  ];
}

function firstOf({ keys, count }: Need): string {
  const [first = '-'] = keys;
  return count > 1 && keys.length > 0 ? `${first}, …` : first;
}
