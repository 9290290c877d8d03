/** A scan as a file for the textfile collector of node_exporter. */
import { Gauge, type OpenMetricsContentType, Registry } from 'prom-client';
import type { ScanReport } from './report.js';

const LABELS = ['resource', 'provider', 'key'] as const;

export async function openMetricsReport(report: ScanReport): Promise<string> {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  const registers = [registry];
  const gauge = (name: string, help: string): Gauge<(typeof LABELS)[number]> =>
    new Gauge({ name: `waxseal_scan_${name}`, help, labelNames: LABELS, registers });
  const single = (name: string, help: string, value: number): void =>
    new Gauge({ name: `waxseal_scan_${name}`, help, registers }).set(value);

  const values = gauge('values', 'Stored values.');
  const bytes = gauge('bytes', 'Bytes of stored values.');
  const oldest = gauge('oldest_revision', 'Lowest revision at which one of the values was written.');
  const lowest = new Map<string, number>();
  for (const { resource, provider, key, keyIdHash, ...group } of report.groups) {
    // As the API server's own metrics name a KMS key, so that the two can be joined.
    const labels = { resource, provider, key: keyIdHash ?? key };
    values.inc(labels, group.count);
    bytes.inc(labels, group.bytes);
    // KMS providers of two names with one key are one series.
    const series = JSON.stringify(labels);
    lowest.set(series, Math.min(group.oldestRevision, lowest.get(series) ?? group.oldestRevision));
    oldest.set(labels, lowest.get(series) ?? group.oldestRevision);
  }
  single('plaintext_values', 'Stored values that are not encrypted.', report.plaintext);
  single('total_values', 'All stored values.', report.total);
  single('revision', 'Revision of the storage that was scanned.', report.revision);
  single('timestamp_seconds', 'When it was scanned.', Math.floor(report.takenAtMs / 1000));
  if (report.violations !== undefined) {
    single('policy_violations', 'Groups that break a rule of the policy.', report.violations.length);
  }
  return registry.metrics();
}
