/** Gauges read when they are asked for: keys, the state of the audit log, and what the same would cost on AWS. */
import { Gauge, type Registry } from 'prom-client';
import type { AuditState } from '../audit/journal.js';
import { KEY_USD_PER_MONTH, requestsUsd } from '../cost/prices.js';

export interface GaugeSources {
  readonly keys: () => number;
  readonly auditState: () => AuditState;
  /** Requests of callers since the process began. */
  readonly requests: () => number;
  /** How many custom key stores this process finds in each connection state. */
  readonly customKeyStores: () => ReadonlyMap<string, number>;
  /** Whether this replica does what is due by date. */
  readonly leads: () => boolean;
}

export function registerGauges(registry: Registry, sources: GaugeSources): void {
  const { keys, auditState, requests, customKeyStores, leads } = sources;
  const gauge = (name: string, help: string, read: () => number): Gauge =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  gauge('waxseal_kms_keys', 'KMS keys in the store, those that wait for their deletion included.', keys);
  gauge(
    'waxseal_kms_audit_writable',
    '1 while calls can be recorded; 0.5 while the disk is full and changes are refused; 0 while nothing can be recorded.',
    () => ({ open: 1, full: 0.5, failing: 0 })[auditState()],
  );
  gauge(
    'waxseal_kms_lifecycle_leader',
    '1 at the replica that rotates and deletes keys by date, 0 at the others.',
    () => (leads() ? 1 : 0),
  );
  gauge(
    'waxseal_kms_aws_keys_usd_per_month',
    'What AWS would charge a month for the keys there are now.',
    () => keys() * KEY_USD_PER_MONTH,
  );
  gauge(
    'waxseal_kms_aws_requests_usd',
    'What AWS would charge for the requests since the process began, as if they were one month of one account.',
    () => requestsUsd(requests()),
  );
  registry.registerMetric(customKeyStoresGauge(customKeyStores));
}

function customKeyStoresGauge(byState: GaugeSources['customKeyStores']): Gauge {
  return new Gauge({
    name: 'waxseal_kms_custom_key_stores',
    help: 'Custom key stores by connection state, as this process finds them.',
    labelNames: ['state'],
    registers: [],
    collect() {
      for (const [state, count] of byState()) this.set({ state }, count);
    },
  });
}
