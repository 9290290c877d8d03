/** Watches and their events, counted under the reference's names, so that its dashboards work. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { ResourceDefinition } from '../registry/resource.js';
import type { RestResponse } from './contract.js';

interface WatchMetrics {
  /** The same answer; when it is a watch, it is counted while it runs. */
  counted(resource: ResourceDefinition, response: RestResponse): RestResponse;
}

export function createWatchMetrics(registry: Registry): WatchMetrics {
  const watchers = new Gauge({
    name: 'apiserver_registered_watchers',
    help: 'Watches that are being served, by resource.',
    labelNames: ['group', 'version', 'resource'],
    registers: [registry],
  });
  const events = new Counter({
    name: 'apiserver_watch_events_total',
    help: 'Events sent to watching clients, by resource.',
    labelNames: ['group', 'version', 'resource'],
    registers: [registry],
  });
  return {
    counted(resource, response) {
      if (response.kind !== 'watch') return response;
      const labels = { group: resource.group, version: resource.version, resource: resource.resource };
      return {
        kind: 'watch',
        start(sink) {
          let open = true;
          const closed = (): void => {
            if (open) watchers.dec(labels);
            open = false;
          };
          watchers.inc(labels);
          const stop = response.start({
            onEvent(event) {
              events.inc(labels);
              sink.onEvent(event);
            },
            onEnd() {
              closed();
              sink.onEnd();
            },
            drained: () => sink.drained?.(),
          });
          return () => {
            closed();
            stop();
          };
        },
      };
    },
  };
}
