/** A scan as comma-separated values (RFC 4180): a row for each group, or for each DEK source. */
import { printable } from '../terminal-text.js';
import type { ScanReport } from './report.js';

/** Spreadsheets run a cell that begins so as a formula; some take the wide forms of East Asian keyboards too. */
const FORMULA = /^[=+\-@＝＋－＠]/;

export function csvReport({ groups }: ScanReport, withDekSources: boolean): string {
  const columns = ['resource', 'provider', 'key', 'dek_source', 'count', 'bytes'];
  const rows = groups.flatMap(({ resource, provider, key, dekSources, moreDekSources, ...tally }) => {
    const rowsOf = withDekSources && dekSources.length > 0 && moreDekSources === 0 ? dekSources : [tally];
    return rowsOf.map((each) => [
      resource,
      provider,
      key,
      'dekSource' in each ? each.dekSource : '',
      each.count,
      each.bytes,
      each.oldestRevision,
      each.newestRevision,
    ]);
  });
  return [[...columns, 'oldest_revision', 'newest_revision'], ...rows]
    .map((row) => row.map(cell).join(','))
    .join('\r\n');
}

function cell(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const text = printable(value);
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
