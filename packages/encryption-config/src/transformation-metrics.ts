/**
 * What is counted inside every read and write: plain numbers, made into metrics when they are scraped.
 *
 * A labelled metric object costs about a microsecond an update, a fifth of a whole transformation.
 */
import type { TransformationType, TransformObserver } from '@waxseal/envelope';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Clock } from './clock.js';
import { grpcStatusName } from './grpc-status.js';

export function exponentialBuckets(start: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => start * factor ** i);
}

const DURATION_BUCKETS = exponentialBuckets(5e-6, 2, 25);

interface DurationCounts {
  readonly type: TransformationType;
  readonly prefix: string;
  /** Transformations per bucket; the last is +Inf. */
  readonly counts: number[];
  sumSeconds: number;
}

interface Operations {
  readonly resource: string;
  readonly type: TransformationType;
  readonly prefix: string;
  readonly durations: DurationCounts;
  ok: number;
  /** By gRPC status name. */
  readonly failed: Map<string, number>;
}

/** Registers the transformation metrics; returns the observer of one resource. */
export function registerTransformations(
  registry: Registry,
  clock: Clock,
): (resource: string) => TransformObserver {
  const all: Operations[] = [];
  const durationsByName = new Map<string, DurationCounts>();

  const durationsOf = (type: TransformationType, prefix: string): DurationCounts => {
    const name = `${type} ${prefix}`;
    let durations = durationsByName.get(name);
    if (durations === undefined) {
      durations = { type, prefix, counts: Array<number>(DURATION_BUCKETS.length + 1).fill(0), sumSeconds: 0 };
      durationsByName.set(name, durations);
    }
    return durations;
  };

  const operations = new Counter({
    name: 'apiserver_storage_transformation_operations_total',
    help: "Total number of transformations. Successful transformation will have a status 'OK' and a varied status string when the transformation fails. The status, resource, and transformation_type fields can be used for alerting purposes.",
    labelNames: ['resource', 'transformation_type', 'transformer_prefix', 'status'],
    registers: [],
    collect() {
      this.reset();
      for (const { resource, type, prefix, ok, failed } of all) {
        const labels = { resource, transformation_type: type, transformer_prefix: prefix };
        if (ok > 0) this.inc({ ...labels, status: 'OK' }, ok);
        for (const [status, count] of failed) this.inc({ ...labels, status }, count);
      }
    },
  });
  const durationMetric = {
    name: DURATION_NAME,
    help: 'Latencies in seconds of value transformation operations.',
    labelNames: ['transformation_type', 'transformer_prefix'],
    registers: [],
  };
  const histogram = new Histogram({ ...durationMetric, buckets: DURATION_BUCKETS });
  // A histogram can only be fed one observation at a time, so this metric makes its samples itself; any class whose
  // samples are its own business will do to extend.
  class DurationMetric extends Gauge {
    override async get(): ReturnType<Gauge['get']> {
      const { type } = await histogram.get();
      return { ...(await super.get()), type, values: [...durationsByName.values()].flatMap(toSamples) };
    }
  }
  registry.registerMetric(operations);
  registry.registerMetric(new DurationMetric(durationMetric));

  return (resource) => {
    const byPrefix: Record<TransformationType, Map<string, Operations>> = {
      from_storage: new Map(),
      to_storage: new Map(),
    };
    const start = (type: TransformationType, prefix: string): Operations => {
      const fresh = {
        resource,
        type,
        prefix,
        durations: durationsOf(type, prefix),
        ok: 0,
        failed: new Map(),
      };
      byPrefix[type].set(prefix, fresh);
      all.push(fresh);
      return fresh;
    };
    return {
      start: () => clock.monotonicMs(),
      end(type, prefix, startMark, error) {
        const cell = byPrefix[type].get(prefix) ?? start(type, prefix);
        if (error === undefined) {
          const seconds = (clock.monotonicMs() - startMark) / 1000;
          let bucket = 0;
          while (seconds > (DURATION_BUCKETS[bucket] ?? Number.POSITIVE_INFINITY)) bucket++;
          cell.durations.counts[bucket] = (cell.durations.counts[bucket] ?? 0) + 1;
          cell.durations.sumSeconds += seconds;
          cell.ok++;
        } else {
          const status = grpcStatusName(error);
          cell.failed.set(status, (cell.failed.get(status) ?? 0) + 1);
        }
      },
    };
  };
}

const DURATION_NAME = 'apiserver_storage_transformation_duration_seconds';

function toSamples({ type, prefix, counts, sumSeconds }: DurationCounts) {
  const labels = { transformation_type: type, transformer_prefix: prefix };
  let total = 0;
  const buckets = counts.map((count, i) => ({
    labels: { le: DURATION_BUCKETS[i] ?? '+Inf', ...labels },
    value: (total += count),
    metricName: `${DURATION_NAME}_bucket`,
  }));
  return [
    ...buckets,
    { labels, value: sumSeconds, metricName: `${DURATION_NAME}_sum` },
    { labels, value: total, metricName: `${DURATION_NAME}_count` },
  ];
}
