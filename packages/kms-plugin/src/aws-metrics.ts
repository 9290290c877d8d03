/**
 * The metrics of aws-encryption-provider under their own names, for dashboards that were made for it: calls by key, operation, KMS version
 * and status, and how long they took. Source: its `pkg/plugin/metrics.go` and `pkg/kmsplugin/kms.go`.
 *
 * Unlike every other metric of the plugin they carry the key id as it was configured.
 */
import type { CallReport } from '@waxseal/kms-api';
import { Counter, exponentialBuckets, Histogram, type Registry } from 'prom-client';

export interface AwsMetrics {
  called(keyId: string, report: CallReport): void;
}

const labelNames = ['key_arn', 'status', 'operation', 'version'] as const;

export function createAwsMetrics(registry: Registry): AwsMetrics {
  const registers = [registry];
  const operations = new Counter({
    name: 'aws_encryption_provider_kms_operations_total',
    help: 'Calls of Encrypt and Decrypt, as aws-encryption-provider counts them.',
    labelNames,
    registers,
  });
  const latency = new Histogram({
    name: 'aws_encryption_provider_kms_operation_latency_ms',
    help: 'How long calls of Encrypt and Decrypt took, in milliseconds.',
    labelNames,
    buckets: exponentialBuckets(2, 2, 14),
    registers,
  });
  return {
    called: (keyId, { method, code, version, durationMs }) => {
      if (method !== 'Encrypt' && method !== 'Decrypt') return;
      const labels = { key_arn: keyId, status: statusOf(code), operation: method.toLowerCase(), version };
      operations.inc(labels);
      latency.observe(labels, durationMs);
    },
  };
}

function statusOf(code: CallReport['code']): string {
  if (code === 'ok') return 'success';
  return code === 'resource_exhausted' ? 'failure-throttle' : 'failure';
}
