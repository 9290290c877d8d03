/** A scan for programs. */
import { printableJson } from '../terminal-text.js';
import type { ScanReport } from './report.js';

export function jsonReport(report: ScanReport): string {
  const { groups, plaintext, total, bytes, source, revision, violations, notStored } = report;
  return printableJson({ groups, plaintext, total, bytes, source, revision, violations, notStored });
}
