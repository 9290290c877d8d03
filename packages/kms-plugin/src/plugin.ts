/**
 * The plugin: one provider on one or more sockets, with a health port.
 *
 * It starts whether or not the key backend can be reached, answers Status with the reason meanwhile, and becomes healthy
 * by itself.
 */
import { randomBytes as systemRandomBytes } from 'node:crypto';
import { KmsApiError, parseEndpoint, serveKms, type CallReport } from '@waxseal/kms-api';
import { Registry } from 'prom-client';
import { createBackend } from './backend.js';
import { systemClock, type Clock } from './clock.js';
import { KmsPluginError, placeOf } from './errors.js';
import { startHealthServer, type HealthAddress, type HealthServer } from './health.js';
import { createKeyHealth } from './key-health.js';
import { silentLogger, type Logger } from './logger.js';
import { createMetrics, hashKeyId } from './metrics.js';
import { startProber } from './prober.js';
import type { Provider } from './provider.js';
import { createV1Service, createV2Service } from './service.js';

export interface PluginOptions {
  /** `unix:///path`, `/path` or `@name`; files get mode 0600. */
  readonly listen: string | readonly string[];
  /** The plugin closes it when it closes. */
  readonly provider: Provider;
  /** The KMS versions to serve; both by default. */
  readonly versions?: readonly ('v1' | 'v2')[];
  /**
   * What `Status.version` answers; `v2` by default. It must not change under a running API server: `v2beta1` when this
   * plugin takes the place of the AWS, Azure or Google one.
   */
  readonly statusVersion?: 'v2' | 'v2beta1';
  /** Where to answer /livez, /readyz, /healthz and /metrics; nowhere by default. */
  readonly health?: HealthAddress;
  /** Nothing is logged by default. */
  readonly logger?: Logger;
  /** A registry of the caller's, for one plugin; a fresh one by default. */
  readonly registry?: Registry;
  readonly clock?: Clock;
  readonly randomBytes?: (sizeBytes: number) => Buffer;
  /**
   * Longest time one backend call may take; 2800 by default, inside the 3000 an API server waits. Below 100 the backend
   * has hardly a chance.
   */
  readonly operationTimeoutMs?: number;
  /** Time between two probes of a healthy key; 60,000 by default, as an API server polls Status. */
  readonly probeIntervalMs?: number;
  /** Time between two probes of a failing key; 5000 by default. */
  readonly probeRetryMs?: number;
}

export interface Plugin {
  /** `unix://` URLs, for an EncryptionConfiguration. */
  readonly sockets: readonly string[];
  /** `http://host:port` of the health port. */
  readonly healthEndpoint: string | undefined;
  /** The key a write uses now. */
  keyId(): string;
  /** `ok`, or why the key cannot be used; what Status answers. */
  healthz(): string;
  /**
   * Reads keyrings and credentials again and probes the key.
   *
   * @throws KmsPluginError; then everything stays as it was
   */
  reload(): Promise<void>;
  /** Stops listening, lets calls in flight finish, closes the provider. */
  close(): Promise<void>;
}

/**
 * Starts the plugin; resolves when its sockets listen, which does not wait for the key backend.
 *
 * @throws KmsApiError when a socket cannot be had, KmsPluginError `invalid_options` or `health_listen_failed`;
 * then nothing is left open but the provider
 */
export async function startPlugin(options: PluginOptions): Promise<Plugin> {
  const { provider } = options;
  const clock = options.clock ?? systemClock;
  const logger = options.logger ?? silentLogger;
  const registry = options.registry ?? new Registry();
  const versions = options.versions ?? ['v1', 'v2'];
  const operationTimeoutMs = positive('operationTimeoutMs', options.operationTimeoutMs ?? 2800);
  const intervalMs = positive('probeIntervalMs', options.probeIntervalMs ?? 60_000);
  const retryMs = positive('probeRetryMs', options.probeRetryMs ?? 5000);
  if (versions.length === 0) throw new KmsPluginError('invalid_options', 'Serve at least one of v1 and v2.');

  const metrics = createMetrics(registry);
  const health = createKeyHealth((operation, known) => {
    const { keyId } = provider.snapshot();
    metrics.healthy.set({ key_id_hash: hashKeyId(keyId), operation }, known.kind === 'healthy' ? 1 : 0);
    if (known.kind === 'failing') {
      logger.warn(
        {
          keyId,
          operation,
          class: known.error.failure.class,
          reason: known.error.message,
          ...(known.error.failure.class === 'internal' ? { at: placeOf(known.error.cause) } : {}),
        },
        'the key fails',
      );
    } else {
      logger.info({ keyId, operation }, 'the key works');
    }
  });
  const backend = createBackend({ provider, clock, health, metrics, logger, operationTimeoutMs });
  const onCall = (report: CallReport): void => {
    const { version, method, code } = report;
    metrics.requests.inc({ version, method, code });
    metrics.requestSeconds.observe({ version, method }, report.durationMs / 1000);
    if (report.error === undefined) return;
    const reason = report.error instanceof KmsApiError ? report.error.message : 'unexpected error';
    logger.debug({ version, method, code, uid: report.uid, reason }, 'a call failed');
  };

  let ready = (): Promise<void> => Promise.resolve();
  const server = await serveKms({
    listen: options.listen,
    onCall,
    services: {
      ...(versions.includes('v1') ? { v1: createV1Service(backend) } : {}),
      ...(versions.includes('v2')
        ? {
            v2: createV2Service({
              backend,
              health,
              statusVersion: options.statusVersion ?? 'v2',
              ready: () => ready(),
            }),
          }
        : {}),
    },
  });
  for (const socket of server.sockets) {
    if (!parseEndpoint(socket).portable) {
      logger.warn(
        { socket },
        'kube-apiserver cannot find this abstract socket: Node before 22 pads its name; use a path, a name of 107 bytes, or Node 22',
      );
    }
  }
  let healthServer: HealthServer | undefined;
  try {
    healthServer = options.health && (await startHealthServer(options.health, health, registry));
  } catch (error) {
    await server.close(0);
    throw error;
  }

  const prober = startProber({
    backend,
    health,
    clock,
    randomBytes: options.randomBytes ?? systemRandomBytes,
    intervalMs,
    retryMs,
  });
  // The first Status of an API server that starts with the plugin gets a real answer, unless the backend hangs.
  const firstAnswerMs = operationTimeoutMs / 2;
  let asked: Promise<void> | undefined;
  ready = () =>
    (asked ??= new Promise((resolve) => {
      const cancel = clock.after(firstAnswerMs, resolve);
      void prober.firstProbe.finally(() => {
        cancel();
        resolve();
      });
    }));

  const close = async (): Promise<void> => {
    prober.stop();
    await server.close();
    await healthServer?.close();
    await provider.close();
  };
  let closing: Promise<void> | undefined;
  return {
    sockets: server.sockets,
    healthEndpoint: healthServer?.endpoint,
    keyId: () => backend.snapshot().keyId,
    healthz: () => health.summary(),
    reload: async () => {
      await provider.reload();
      await prober.probe();
    },
    close: () => (closing ??= close()),
  };
}

function positive(name: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw new KmsPluginError('invalid_options', `${name} must be a number above 0.`);
}
