/** Prometheus metrics of the key service: by operation and error code, never by key. */
import { Counter, Histogram, type Registry } from 'prom-client';

export interface KeyServiceMetrics {
  /** @param errorCode undefined for success */
  observe(operation: string, errorCode: string | undefined, seconds: number): void;
}

/** Milliseconds to seconds around what one call with one fsync takes. */
const BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

export function createMetrics(registry: Registry): KeyServiceMetrics {
  const calls = new Counter({
    name: 'waxseal_kms_requests_total',
    help: 'Calls of the key service by operation and error code (empty: success).',
    labelNames: ['operation', 'error'],
    registers: [registry],
  });
  const durations = new Histogram({
    name: 'waxseal_kms_request_duration_seconds',
    help: 'Seconds from the last byte of a request to its answer, audit record on disk included.',
    labelNames: ['operation'],
    buckets: BUCKETS_SECONDS,
    registers: [registry],
  });
  // Labels are hashed on every look-up; there are few, so each is looked up once.
  const counters = new Map<string, { inc(): void }>();
  const timers = new Map<string, { observe(seconds: number): void }>();
  return {
    observe(operation, errorCode = '', seconds) {
      const name = `${operation} ${errorCode}`;
      let counter = counters.get(name);
      if (counter === undefined) counters.set(name, (counter = calls.labels(operation, errorCode)));
      counter.inc();
      let timer = timers.get(operation);
      if (timer === undefined) timers.set(operation, (timer = durations.labels(operation)));
      timer.observe(seconds);
    },
  };
}
