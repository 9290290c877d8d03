/**
 * How often and when each KMS v2 key id was used: plain numbers, made into metrics when they are scraped (see
 * `transformation-metrics.ts`).
 */
import { hashKeyId, type KmsV2Observer, type TransformationType } from '@waxseal/envelope';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Clock } from './clock.js';

interface KeyIdUse {
  readonly labels: {
    readonly transformation_type: TransformationType;
    readonly provider_name: string;
    readonly key_id_hash: string;
    readonly apiserver_id_hash: string;
  };
  count: number;
  lastMs: number;
  forget(): void;
}

/** Label sets kept; the one longest unused goes first, as in the reference. */
const MAX_KEY_ID_USES = 100;

/** Registers the key id metrics; returns the observer of one provider. */
export function registerKeyIdUse(
  registry: Registry,
  clock: Clock,
  apiServerIdHash: string,
): (providerName: string) => KmsV2Observer['keyIdUsed'] {
  const all = new Set<KeyIdUse>();
  const labelNames = ['transformation_type', 'provider_name', 'key_id_hash', 'apiserver_id_hash'];
  const total = new Counter({
    name: 'apiserver_envelope_encryption_key_id_hash_total',
    help: 'Number of times a keyID is used split by transformation type, provider, and apiserver identity.',
    labelNames,
    registers: [],
    collect() {
      this.reset();
      for (const { labels, count } of all) this.inc(labels, count);
    },
  });
  const lastSeconds = new Gauge({
    name: 'apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds',
    help: 'The last time in seconds when a keyID was used.',
    labelNames,
    registers: [],
    collect() {
      this.reset();
      for (const { labels, lastMs } of all) this.set(labels, lastMs / 1000);
    },
  });
  registry.registerMetric(total);
  registry.registerMetric(lastSeconds);

  return (providerName) => {
    const uses: Record<TransformationType, Map<string, KeyIdUse>> = {
      from_storage: new Map(),
      to_storage: new Map(),
    };
    const start = (type: TransformationType, keyId: string): KeyIdUse => {
      if (all.size >= MAX_KEY_ID_USES) {
        const [oldest] = [...all].toSorted((a, b) => a.lastMs - b.lastMs);
        oldest?.forget();
      }
      const use: KeyIdUse = {
        labels: {
          transformation_type: type,
          provider_name: providerName,
          key_id_hash: hashKeyId(keyId),
          apiserver_id_hash: apiServerIdHash,
        },
        count: 0,
        lastMs: 0,
        forget: () => {
          uses[type].delete(keyId);
          all.delete(use);
        },
      };
      uses[type].set(keyId, use);
      all.add(use);
      return use;
    };
    return (type, keyId) => {
      const use = uses[type].get(keyId) ?? start(type, keyId);
      use.count++;
      use.lastMs = clock.nowMs();
    };
  };
}
