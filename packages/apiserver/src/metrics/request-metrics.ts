/**
 * Counters and durations per kind of request, under kube-apiserver's metric names.
 *
 * Source of the rule: k8s.io/apiserver `endpoints/metrics`. Labels never hold what a client made up: an unknown verb is
 * `other`, and the path of a request that is no object is not recorded.
 */
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { RequestInfo } from '../http/request-info.js';

export interface RequestMetrics {
  /** @param info undefined when the request was not even parsed */
  observe(info: RequestInfo | undefined, code: number, seconds: number): void;
}

const VERBS: Readonly<Record<string, string>> = {
  create: 'POST',
  get: 'GET',
  list: 'LIST',
  watch: 'WATCH',
  update: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
  deletecollection: 'DELETECOLLECTION',
};

const DURATION_BUCKETS_SECONDS = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];

interface Recorder {
  readonly count: () => void;
  readonly observeSeconds: (seconds: number) => void;
}

function scopeOf(info: RequestInfo): string {
  if (!info.isResource) return '';
  if (info.name !== '') return 'resource';
  return info.namespace === '' ? 'cluster' : 'namespace';
}

/**
 * @param isServed does the resource exist? Others share one set of labels, so a scan of made-up paths cannot fill the
 *   registry
 */
export function createRequestMetrics(
  registry: Registry,
  isServed: (info: RequestInfo) => boolean,
): RequestMetrics {
  const labelNames = ['verb', 'group', 'version', 'resource', 'subresource', 'scope'] as const;
  const requests = new Counter({
    name: 'apiserver_request_total',
    help: 'Requests by verb, group, version, resource, scope and HTTP response code.',
    labelNames: [...labelNames, 'code'],
    registers: [registry],
  });
  const durations = new Histogram({
    name: 'apiserver_request_duration_seconds',
    help: 'Response latency in seconds by verb, group, version, resource and scope. A watch counts until it ends.',
    labelNames,
    buckets: DURATION_BUCKETS_SECONDS,
    registers: [registry],
  });
  // Label lookups cost more than the increments: each combination is bound once.
  const recorders = new Map<string, Recorder>();

  function recorderOf(info: RequestInfo | undefined, code: number): Recorder {
    const served = info !== undefined && info.isResource && isServed(info) ? info : undefined;
    const scope = served === undefined ? '' : scopeOf(served);
    const verb = VERBS[info?.verb ?? ''] ?? (info?.verb === 'options' ? 'OPTIONS' : 'other');
    const key =
      served === undefined
        ? `${verb} ${code}`
        : `${verb} ${code} ${scope} ${served.group}/${served.version}/${served.resource}/${served.subresource}`;
    const known = recorders.get(key);
    if (known !== undefined) return known;
    const labels = {
      verb,
      group: served?.group ?? '',
      version: served?.version ?? '',
      resource: served?.resource ?? '',
      subresource: served?.subresource ?? '',
      scope,
    };
    const counter = requests.labels({ ...labels, code });
    const histogram = durations.labels(labels);
    const recorder: Recorder = {
      count: () => counter.inc(),
      observeSeconds: (seconds) => histogram.observe(seconds),
    };
    recorders.set(key, recorder);
    return recorder;
  }

  return {
    observe(info, code, seconds) {
      const recorder = recorderOf(info, code);
      recorder.count();
      recorder.observeSeconds(seconds);
    },
  };
}

/** @param count asked at each scrape */
export function registerWatchGauge(registry: Registry, count: () => number): void {
  const gauge: Gauge<'verb'> = new Gauge({
    name: 'apiserver_longrunning_requests',
    help: 'Watches at work.',
    labelNames: ['verb'],
    registers: [],
    collect: () => gauge.set({ verb: 'WATCH' }, count()),
  });
  registry.registerMetric(gauge);
}
