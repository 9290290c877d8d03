/** Rows as aligned columns, for people. */
import { printable, shortPrintable } from './terminal-text.js';

/** Cells are made fit for a terminal; those that stand before others are shortened. Spaces before a cell's text stay. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const last = header.length - 1;
  const all = [header, ...rows].map((row) =>
    row.map((cell, column) => (column === last ? printable(cell) : shortPrintable(cell))),
  );
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
