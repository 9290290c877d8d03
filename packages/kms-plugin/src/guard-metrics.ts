/** What the guards of all key sets did and do: retries, limits, circuit breakers. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { priorities } from './call-gate.js';
import type { Guard, GuardObserver } from './guard.js';
import type { Operation } from './key-health.js';

/** Whose guard it is. The key id's hash is asked for each time: a rotation changes it. */
export interface GuardLabels {
  readonly keySet: string;
  readonly keyIdHash: () => string;
}

export interface GuardMetrics {
  /** Counts what one guard tells. */
  observer(labels: GuardLabels): GuardObserver;
  /** Asks this guard how many calls wait and are under way whenever metrics are read; until the returned function is called. */
  watch(labels: GuardLabels, guard: Pick<Guard, 'queued' | 'inFlight'>): () => void;
}

export function createGuardMetrics(registry: Registry): GuardMetrics {
  const registers = [registry];
  const guards = new Map<Pick<Guard, 'queued' | 'inFlight'>, GuardLabels>();
  const retries = new Counter({
    name: 'waxseal_kms_provider_retries_total',
    help: 'Calls to the key backend that were made again, by the class of the failure before.',
    labelNames: ['key_set', 'key_id_hash', 'operation', 'reason'],
    registers,
  });
  const rateLimited = new Counter({
    name: 'waxseal_kms_plugin_rate_limited_total',
    help: 'Calls that waited or were refused while the rate limit held the line; each once.',
    labelNames: ['key_set', 'key_id_hash'],
    registers,
  });
  const shortCircuited = new Counter({
    name: 'waxseal_kms_plugin_short_circuited_total',
    help: 'Calls that were answered at once because the key backend had failed too often in a row.',
    labelNames: ['key_set', 'key_id_hash', 'operation'],
    registers,
  });
  const breakerOpen = new Gauge({
    name: 'waxseal_kms_plugin_breaker_open',
    help: '1 while the circuit breaker of this operation is open or tries again, else 0.',
    labelNames: ['key_set', 'operation'],
    registers,
  });
  registry.registerMetric(
    new Gauge({
      name: 'waxseal_kms_plugin_queue_depth',
      help: 'Calls that wait for their turn at the key backend, by priority.',
      labelNames: ['key_set', 'priority'],
      registers: [],
      collect() {
        this.reset();
        for (const [guard, { keySet }] of guards) {
          for (const priority of priorities) this.inc({ key_set: keySet, priority }, guard.queued(priority));
        }
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'waxseal_kms_plugin_backend_calls_in_flight',
      help: 'Calls to the key backend that are under way.',
      labelNames: ['key_set'],
      registers: [],
      collect() {
        this.reset();
        for (const [guard, { keySet }] of guards) this.inc({ key_set: keySet }, guard.inFlight());
      },
    }),
  );
  const key = ({ keySet, keyIdHash }: GuardLabels): { key_set: string; key_id_hash: string } => ({
    key_set: keySet,
    key_id_hash: keyIdHash(),
  });
  return {
    observer: (labels) => ({
      retried: (operation, failed) => {
        retries.inc({ ...key(labels), operation, reason: failed.failure.class });
      },
      rateLimited: () => {
        rateLimited.inc(key(labels));
      },
      shortCircuited: (operation) => {
        shortCircuited.inc({ ...key(labels), operation });
      },
      breakerChanged: (operation, state) => {
        breakerOpen.set({ key_set: labels.keySet, operation }, state === 'closed' ? 0 : 1);
      },
    }),
    watch: (labels, guard) => {
      const breakers: readonly Operation[] = ['encrypt', 'decrypt'];
      for (const operation of breakers) breakerOpen.set({ key_set: labels.keySet, operation }, 0);
      guards.set(guard, labels);
      return () => {
        guards.delete(guard);
      };
    },
  };
}
