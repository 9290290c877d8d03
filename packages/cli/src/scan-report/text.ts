/** A scan for people at a terminal: what is not sealed in red. */
import { styleText } from 'node:util';
import { formatTable } from '../table.js';
import { printable } from '../terminal-text.js';
import { dekSourceCount, formatBytes, isAlarming, type ScanReport } from './report.js';

/** @param withDekSources a row for each DEK source below its group */
export function textReport(report: ScanReport, withDekSources: boolean, color: boolean): string {
  const rows: string[][] = [];
  const alarming: boolean[] = [];
  for (const group of report.groups) {
    const { resource, provider, key, count, bytes, oldestRevision, newestRevision } = group;
    const counts = [String(count), formatBytes(bytes), String(oldestRevision), String(newestRevision)];
    rows.push([resource, provider, key, dekSourceCount(group), ...counts]);
    alarming.push(isAlarming(group));
    if (!withDekSources) continue;
    for (const source of group.dekSources) {
      const { oldestRevision: oldest, newestRevision: newest } = source;
      rows.push(['', '', `  ${source.dekSource}`, '', String(source.count), formatBytes(source.bytes)]);
      rows.at(-1)?.push(String(oldest), String(newest));
      alarming.push(false);
    }
  }
  const red = (text: string): string => (color ? styleText('red', text) : text);
  const header = ['RESOURCE', 'PROVIDER', 'KEY', 'DEK SOURCES', 'COUNT', 'BYTES', 'OLDEST', 'NEWEST'];
  const [head = '', ...lines] = formatTable(header, rows).split('\n');
  const { source, revision, plaintext, total, bytes, violations, notStored = [] } = report;
  const summary = `${total} values, ${formatBytes(bytes)}, in ${printable(source)} at revision ${revision}`;
  const inTheClear = plaintext === 0 ? 'none in plaintext' : red(`${plaintext} in plaintext`);
  return [
    ...(total === 0
      ? []
      : [head, ...lines.map((line, row) => (alarming[row] === true ? red(line) : line)), '']),
    `${summary}: ${total === 0 ? `nothing lies under ${report.prefix}` : inTheClear}.`,
    ...(violations?.map(({ message }) => red(printable(`Not allowed: ${message}.`))) ?? []),
    ...(notStored.length === 0
      ? []
      : [`Nothing is stored of ${notStored.join(', ')}: are these names right (plural, as secrets)?`]),
    ...(violations?.length === 0 ? ['The policy is kept.'] : []),
  ].join('\n');
}
