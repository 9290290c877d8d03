/** The plugin's metrics, in one registry the caller may share with others. Key ids appear hashed only. */
import { createHash } from 'node:crypto';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { createAwsMetrics, type AwsMetrics } from './aws-metrics.js';
import { createGuardMetrics, type GuardMetrics } from './guard-metrics.js';
import { pluginVersion } from './version.js';
import { createRecipientMetrics, type RecipientMetrics } from './recipients/recipient-metrics.js';

/** The first 16 hex digits of SHA-256: enough to tell keys apart, nothing to read. */
export function hashKeyId(keyId: string): string {
  return createHash('sha256').update(keyId).digest('hex').slice(0, 16);
}

export interface PluginMetrics {
  readonly requests: Counter<'key_set' | 'version' | 'method' | 'code'>;
  readonly requestSeconds: Histogram<'key_set' | 'version' | 'method'>;
  readonly operations: Counter<'key_set' | 'provider' | 'key_id_hash' | 'operation' | 'result'>;
  readonly operationSeconds: Histogram<'key_set' | 'provider' | 'key_id_hash' | 'operation'>;
  readonly sharedDecrypts: Counter<'key_set'>;
  readonly healthy: Gauge<'key_set' | 'key_id_hash' | 'operation'>;
  readonly reloads: Counter<'result'>;
  readonly guards: GuardMetrics;
  readonly recipients: RecipientMetrics;
  /** Made when the first key set asks for them. */
  aws(): AwsMetrics;
}

const secondsBuckets = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
];

export function createMetrics(registry: Registry): PluginMetrics {
  const registers = [registry];
  let aws: AwsMetrics | undefined;
  const buildInfo = new Gauge({
    name: 'waxseal_kms_plugin_build_info',
    help: 'Always 1; its labels say what runs.',
    labelNames: ['version', 'node_version'],
    registers,
  });
  buildInfo.set({ version: pluginVersion, node_version: process.versions.node }, 1);
  return {
    requests: new Counter({
      name: 'waxseal_kms_plugin_requests_total',
      help: 'Calls answered on the socket, by KMS version, method and result.',
      labelNames: ['key_set', 'version', 'method', 'code'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'waxseal_kms_plugin_request_duration_seconds',
      help: 'How long calls on the socket took.',
      labelNames: ['key_set', 'version', 'method'],
      buckets: secondsBuckets,
      registers,
    }),
    operations: new Counter({
      name: 'waxseal_kms_provider_operations_total',
      help: 'Operations of the key backend, by result: ok or the class of the failure. Probes are counted as well.',
      labelNames: ['key_set', 'provider', 'key_id_hash', 'operation', 'result'],
      registers,
    }),
    operationSeconds: new Histogram({
      name: 'waxseal_kms_provider_operation_duration_seconds',
      help: 'How long operations of the key backend took, retries and the time in line included.',
      labelNames: ['key_set', 'provider', 'key_id_hash', 'operation'],
      buckets: secondsBuckets,
      registers,
    }),
    sharedDecrypts: new Counter({
      name: 'waxseal_kms_plugin_shared_decrypts_total',
      help: 'Decrypts that were answered by an equal one already under way.',
      labelNames: ['key_set'],
      registers,
    }),
    healthy: new Gauge({
      name: 'waxseal_kms_key_healthy',
      help: '1 when the last known result of this operation with this key was a success, else 0.',
      labelNames: ['key_set', 'key_id_hash', 'operation'],
      registers,
    }),
    reloads: new Counter({
      name: 'waxseal_kms_plugin_config_reloads_total',
      help: 'Times the configuration and credentials were read again: success, or failure when everything stayed as it was.',
      labelNames: ['result'],
      registers,
    }),
    guards: createGuardMetrics(registry),
    recipients: createRecipientMetrics(registry),
    aws: () => (aws ??= createAwsMetrics(registry)),
  };
}
