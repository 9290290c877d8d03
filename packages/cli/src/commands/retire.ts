/** `waxseal retire`: may a key be deleted? */
import { mayRetire, openSnapshotSource, parseKeyReference, type Need, type RetireReport } from '@waxseal/ops';
import { exitCodes } from '../errors.js';
import { runUntilDone } from '../lifetime.js';
import type { OutputFormat } from '../options.js';
import { keyPrefix, openSource, type SourceOptions } from '../source-options.js';
import { formatTable } from '../table.js';

export interface RetireCommandOptions extends Omit<SourceOptions, 'key'> {
  /** The key of the encryption. */
  readonly key: string;
  /** The PEM key's file. */
  readonly etcdKey?: string;
  readonly snapshots?: string;
  readonly ledger?: string;
  readonly ignoreUndecided: boolean;
  readonly output: OutputFormat;
}

export async function retire(options: RetireCommandOptions): Promise<void> {
  const { key: keyText, etcdKey, snapshots, ledger, ...where } = options;
  const key = parseKeyReference(keyText);
  const report = await runUntilDone(async (signal) => {
    const source = await openSource({ ...where, ...(etcdKey === undefined ? {} : { key: etcdKey }) });
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
  console.log(options.output === 'json' ? JSON.stringify(report) : formatRetireReport(report));
}

export function formatRetireReport(report: RetireReport): string {
  const { key, mayDelete, needed, elsewhere, backups } = report;
  const lines = [
    mayDelete
      ? `Nothing needs ${key}: it may be deleted.${backups.checked === 0 ? ' No backups were looked at.' : ''}`
      : `${key} may not be deleted:`,
  ];
  if (!mayDelete) {
    lines.push(
      formatTable(
        ['WHERE', 'WHAT', 'VALUES', 'FIRST', 'REASON'],
        needed.map((need) => [need.source, need.place, String(need.count), firstOf(need), need.reason]),
      ),
    );
  }
  if (elsewhere.length > 0) {
    lines.push('', 'Backups that need it were here before; where they lie now, they still do:', ...elsewhere);
  }
  return lines.join('\n');
}

function firstOf({ keys, count }: Need): string {
  const [first = '-'] = keys;
  return count > 1 && keys.length > 0 ? `${first}, …` : first;
}
