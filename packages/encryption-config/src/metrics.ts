/**
 * Metrics under the names and labels of kube-apiserver, so that its dashboards and alerts work.
 *
 * Source of the names: k8s.io/apiserver `storage/value/metrics.go`, `storage/value/encrypt/envelope/metrics` and
 * `server/options/encryptionconfig/metrics`. Key ids and the server's id appear hashed only. What is counted for every
 * read and write is kept in plain numbers (`transformation-metrics.ts`,
 * `key-id-metrics.ts`).
 */
import { hashKeyId, type KmsV1Observer, type KmsV2Observer, type TransformObserver } from '@waxseal/envelope';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Clock } from './clock.js';
import { grpcStatusName } from './grpc-status.js';
import { registerKeyIdUse } from './key-id-metrics.js';
import { exponentialBuckets, registerTransformations } from './transformation-metrics.js';
import type { KmsV2StateMetrics } from './kms-v2-state.js';

export interface EncryptionMetrics extends KmsV2StateMetrics {
  /** Counts the transformations of one resource, `resource` or `resource.group`. */
  transformObserver(resource: string): TransformObserver;
  kmsV2Observer(providerName: string): KmsV2Observer;
  kmsV1Observer(): KmsV1Observer;
  /** `methodName` as gRPC has it, e.g. `/v2.KeyManagementService/Status`. */
  kmsOperation(providerName: string, methodName: string, elapsedMs: number, error: unknown): void;
  reloaded(outcome: 'success' | 'failure'): void;
  /** `configHash`: of the file in force now. */
  configInForce(configHash: string): void;
}

/** A registry takes this once: names must not repeat. */
export function createEncryptionMetrics(
  registry: Registry,
  clock: Clock,
  apiServerId: string,
): EncryptionMetrics {
  const registers = [registry];
  const apiServerIdHash = hashKeyId(apiServerId);
  const transformObserver = registerTransformations(registry, clock);
  const keyIdUse = registerKeyIdUse(registry, clock, apiServerIdHash);
  const nowSeconds = (): number => clock.nowMs() / 1000;

  const cacheMisses = new Counter({
    name: 'apiserver_storage_envelope_transformation_cache_misses_total',
    help: 'Total number of cache misses while accessing key decryption key(KEK).',
    registers,
  });
  const dekGenerationSeconds = new Histogram({
    name: 'apiserver_storage_data_key_generation_duration_seconds',
    help: 'Latencies in seconds of data encryption key(DEK) generation operations.',
    buckets: exponentialBuckets(5e-6, 2, 14),
    registers,
  });
  const dekCacheFill = new Gauge({
    name: 'apiserver_envelope_encryption_dek_cache_fill_percent',
    help: 'Percent of the cache slots currently occupied by cached DEKs.',
    registers,
  });
  const dekCacheInterArrival = new Histogram({
    name: 'apiserver_envelope_encryption_dek_cache_inter_arrival_time_seconds',
    help: 'Time (in seconds) of inter arrival of transformation requests.',
    labelNames: ['transformation_type'],
    buckets: exponentialBuckets(60, 2, 10),
    registers,
  });
  const dekSourceCacheSize = new Gauge({
    name: 'apiserver_envelope_encryption_dek_source_cache_size',
    help: 'Number of records in data encryption key (DEK) source cache. On a restart, this value is an approximation of the number of decrypt RPC calls the server will make to the KMS plugin.',
    labelNames: ['provider_name'],
    registers,
  });
  const kmsOperationSeconds = new Histogram({
    name: 'apiserver_envelope_encryption_kms_operations_latency_seconds',
    help: 'KMS operation duration with gRPC error code status total.',
    labelNames: ['provider_name', 'method_name', 'grpc_status_code'],
    buckets: exponentialBuckets(0.0001, 2, 20),
    registers,
  });
  const statusKeyIdSeconds = new Gauge({
    name: 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds',
    help: 'The last time in seconds when a keyID was returned by the Status RPC call.',
    labelNames: ['provider_name', 'key_id_hash', 'apiserver_id_hash'],
    registers,
  });
  const invalidKeyIds = new Counter({
    name: 'apiserver_envelope_encryption_invalid_key_id_from_status_total',
    help: 'Number of times an invalid keyID is returned by the Status RPC call split by error.',
    labelNames: ['provider_name', 'error'],
    registers,
  });
  const reloads = new Counter({
    name: 'apiserver_encryption_config_controller_automatic_reloads_total',
    help: 'Total number of reload successes and failures of encryption configuration split by apiserver identity.',
    labelNames: ['status', 'apiserver_id_hash'],
    registers,
  });
  const reloadSeconds = new Gauge({
    name: 'apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds',
    help: 'Timestamp of the last successful or failed automatic reload of encryption configuration split by apiserver identity.',
    labelNames: ['status', 'apiserver_id_hash'],
    registers,
  });
  const lastConfigInfo = new Gauge({
    name: 'apiserver_encryption_config_controller_last_config_info',
    help: 'Information about the last applied encryption configuration with hash as label, split by apiserver identity.',
    labelNames: ['apiserver_id_hash', 'hash'],
    registers,
  });
  /** Of Status, oldest first: a plugin that answers with ever new ids must not fill the registry. */
  const statusKeyIds = new Map<string, { provider_name: string; key_id_hash: string }>();
  const lastArrivalMs = new Map<string, number>();

  return {
    transformObserver,
    kmsV2Observer: (providerName) => ({
      keyIdUsed: keyIdUse(providerName),
      cacheMiss: () => {
        cacheMisses.inc();
      },
      cacheSize: (entries) => {
        dekSourceCacheSize.set({ provider_name: providerName }, entries);
      },
    }),
    kmsV1Observer: () => ({
      arrival: (type) => {
        const nowMs = clock.monotonicMs();
        const elapsedMs = nowMs - (lastArrivalMs.get(type) ?? nowMs);
        lastArrivalMs.set(type, nowMs);
        dekCacheInterArrival.observe({ transformation_type: type }, elapsedMs / 1000);
      },
      cacheMiss: () => {
        cacheMisses.inc();
      },
      cacheFill: (fraction) => {
        dekCacheFill.set(fraction);
      },
    }),
    kmsOperation: (providerName, methodName, elapsedMs, error) => {
      kmsOperationSeconds.observe(
        { provider_name: providerName, method_name: methodName, grpc_status_code: grpcStatusName(error) },
        elapsedMs / 1000,
      );
    },
    keyIdFromStatus: (providerName, keyId) => {
      const labels = { provider_name: providerName, key_id_hash: hashKeyId(keyId) };
      const name = `${providerName} ${labels.key_id_hash}`;
      statusKeyIds.delete(name);
      statusKeyIds.set(name, labels);
      const [oldest] = statusKeyIds;
      if (oldest !== undefined && statusKeyIds.size > MAX_STATUS_KEY_IDS) {
        statusKeyIds.delete(oldest[0]);
        statusKeyIdSeconds.remove({ ...oldest[1], apiserver_id_hash: apiServerIdHash });
      }
      statusKeyIdSeconds.set({ ...labels, apiserver_id_hash: apiServerIdHash }, nowSeconds());
    },
    invalidKeyIdFromStatus: (providerName, problem) => {
      invalidKeyIds.inc({ provider_name: providerName, error: problem });
    },
    dekGenerated: (elapsedMs) => {
      dekGenerationSeconds.observe(elapsedMs / 1000);
    },
    reloaded: (outcome) => {
      const labels = { status: outcome, apiserver_id_hash: apiServerIdHash };
      reloads.inc(labels);
      reloadSeconds.set(labels, nowSeconds());
    },
    configInForce: (configHash) => {
      lastConfigInfo.reset();
      lastConfigInfo.set({ apiserver_id_hash: apiServerIdHash, hash: configHash }, 1);
    },
  };
}

const MAX_STATUS_KEY_IDS = 100;
