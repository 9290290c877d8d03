/** `/metrics` in the Prometheus text format. */
import type { Registry } from 'prom-client';
import type { PathEndpoint } from '../http/path-endpoint.js';

export function createMetricsEndpoint(registry: Registry): PathEndpoint {
  return async ({ path }) => {
    if (path !== '/metrics') return undefined;
    return { code: 200, contentType: registry.contentType, body: Buffer.from(await registry.metrics()) };
  };
}
