/** A scan for programs. */
import { printable } from '../terminal-text.js';
import type { ScanReport } from './report.js';

export function jsonReport(report: ScanReport): string {
  const { groups, plaintext, total, bytes, source, revision, violations, notStored } = report;
  // JSON leaves some characters that act on a terminal as they are; written out so they are the same JSON.
  return printable(
    JSON.stringify({ groups, plaintext, total, bytes, source, revision, violations, notStored }),
  );
}
