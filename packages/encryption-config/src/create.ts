/**
 * Encryption at rest from a configuration file, ready for the API server.
 */
import { randomBytes } from 'node:crypto';
import type { MaybePromise, Opened, RandomBytes, Transformer } from '@waxseal/envelope';
import { pino, type Logger } from 'pino';
import { Registry } from 'prom-client';
import type { EncryptionAtRest, GroupResource, HealthCheck } from './at-rest.js';
import { systemClock, type Clock } from './clock.js';
import { grpcConnectors, type KmsConnectors } from './connectors.js';
import { ONE_HEALTH_CHECK_NAME } from './check.js';
import { hashConfigFile, loadConfiguration, type LoadedConfiguration } from './load.js';
import { createEncryptionMetrics } from './metrics.js';
import { startReloading } from './reload.js';
import { formatGroupResource } from './wildcards.js';

export interface EncryptionAtRestOptions {
  /** Path of the EncryptionConfiguration, YAML or JSON. */
  readonly file: string;
  /** Default false: KMS v1 providers are refused. */
  readonly kmsV1Enabled?: boolean;
  /** Default false. When true the file is looked at every minute, and all plugins share one health check. */
  readonly automaticReload?: boolean;
  /** Distinguishes servers in metrics, hashed; default none. */
  readonly apiServerId?: string;
  /** Where the metrics go; it takes them once. Default: a registry of its own. */
  readonly registry?: Registry;
  /** Default: silent. */
  readonly logger?: Logger;
  readonly clock?: Clock;
  /** Default: node:crypto's. */
  readonly randomBytes?: RandomBytes;
  /** Default: gRPC over unix sockets. */
  readonly connectors?: KmsConnectors;
}

/**
 * Reads the configuration and connects to its KMS plugins. Each KMS v2 plugin is asked once before this resolves, for
 * at most its timeout for each of two calls; one that does not answer is no error: its health check fails, and so do
 * writes that need it, until it does.
 *
 * @throws EncryptionConfigError `unreadable-file`, `invalid-configuration`
 */
export async function createEncryptionAtRest(options: EncryptionAtRestOptions): Promise<EncryptionAtRest> {
  const clock = options.clock ?? systemClock;
  const logger = options.logger ?? pino({ enabled: false });
  const automaticReload = options.automaticReload ?? false;
  const metrics = createEncryptionMetrics(
    options.registry ?? new Registry(),
    clock,
    options.apiServerId ?? '',
  );
  const load = (): Promise<LoadedConfiguration> =>
    loadConfiguration({
      file: options.file,
      kmsV1Enabled: options.kmsV1Enabled ?? false,
      automaticReload,
      connectors: options.connectors ?? grpcConnectors,
      clock,
      randomBytes: options.randomBytes ?? randomBytes,
      metrics,
      logger,
    });

  const first = await load();
  metrics.configInForce(first.contentHash);
  if (!automaticReload) return atRest(() => first, first.healthChecks, first.close);

  const reloader = startReloading(first, {
    file: options.file,
    hashFile: () => hashConfigFile(options.file),
    load,
    clock,
    metrics,
    logger,
  });
  const check: HealthCheck = {
    name: ONE_HEALTH_CHECK_NAME,
    async check() {
      for (const healthCheck of reloader.current().healthChecks) await healthCheck.check();
    },
  };
  return atRest(reloader.current, [check], reloader.close);
}

function atRest(
  current: () => LoadedConfiguration,
  healthChecks: readonly HealthCheck[],
  close: () => void,
): EncryptionAtRest {
  const transformers = new Map<string, Transformer>();
  return {
    transformerFor(resource) {
      const name = formatGroupResource(resource);
      let transformer = transformers.get(name);
      if (transformer === undefined) {
        transformer = following(current, resource);
        transformers.set(name, transformer);
      }
      return transformer;
    },
    healthChecks: () => healthChecks,
    close: () => {
      close();
      return Promise.resolve();
    },
  };
}

/** The resource's transformer of whichever configuration is in force. */
function following(current: () => LoadedConfiguration, resource: GroupResource): Transformer {
  let source: LoadedConfiguration | undefined;
  let transformer: Transformer;
  const now = (): Transformer => {
    const configuration = current();
    if (configuration !== source) {
      source = configuration;
      transformer = configuration.transformerFor(resource);
    }
    return transformer;
  };
  return {
    transformFromStorage: (stored: Buffer, authenticatedData: Buffer): MaybePromise<Opened> =>
      now().transformFromStorage(stored, authenticatedData),
    transformToStorage: (data: Buffer, authenticatedData: Buffer): MaybePromise<Buffer> =>
      now().transformToStorage(data, authenticatedData),
  };
}
