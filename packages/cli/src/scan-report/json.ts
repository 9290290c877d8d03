/** A scan for programs. */
import type { ScanReport } from './report.js';

export function jsonReport(report: ScanReport): string {
  const { groups, plaintext, total, bytes, source, revision, violations } = report;
  return JSON.stringify({ groups, plaintext, total, bytes, source, revision, violations });
}
