/**
 * The plugin: any number of key sets in one process, with one health port and one registry of metrics.
 *
 * It starts whether or not the key backends can be reached, answers Status with the reason meanwhile, and becomes healthy
 * by itself.
 */
import type { InheritedSockets } from '@waxseal/kms-api';
import { Registry } from 'prom-client';
import type { Clock } from './clock.js';
import { KmsPluginError } from './errors.js';
import { startHealthServer, type HealthAddress, type HealthServer } from './health.js';
import { keySetName, startKeySet, type KeySet, type KeySetContext, type KeySetOptions } from './key-set.js';
import type { Logger } from './logger.js';
import { createMetrics } from './metrics.js';
import { createSocketRoutes, isPortable } from './socket-routes.js';

export interface ProcessOptions {
  /** Where to answer /livez, /readyz, /healthz and /metrics; nowhere by default. */
  readonly health?: HealthAddress | undefined;
  /** Nothing is logged by default. */
  readonly logger?: Logger | undefined;
  /** A registry of the caller's, for one plugin; a fresh one by default. */
  readonly registry?: Registry | undefined;
  readonly clock?: Clock | undefined;
  /** Milliseconds since 1970, to compare with the dates of a backend. */
  readonly epochMs?: (() => number) | undefined;
  readonly randomBytes?: ((sizeBytes: number) => Buffer) | undefined;
  /** What systemd handed over, for sockets named `fd://…`. */
  readonly inheritedSockets?: InheritedSockets | undefined;
}

export interface KeySetsOptions extends ProcessOptions {
  /** At least one; names and sockets are each used once. */
  readonly keySets: readonly KeySetOptions[];
}

export interface PluginOptions extends ProcessOptions, KeySetOptions {}

/** What one key set of a running plugin is. */
interface RunningKeySet {
  readonly name: string;
  /** `unix://` URLs. */
  readonly sockets: readonly string[];
  readonly keyId: string;
  /** `ok`, or why the key cannot be used. */
  readonly healthz: string;
}

export interface Plugin {
  /** `unix://` URLs, for an EncryptionConfiguration. */
  readonly sockets: readonly string[];
  /** `http://host:port` of the health port. */
  readonly healthEndpoint: string | undefined;
  /** In the order of the configuration. */
  keySets(): readonly RunningKeySet[];
  /** The key a write of the first key set uses now. */
  keyId(): string;
  /** `ok`, or why the first key set's key cannot be used; what its Status answers. */
  healthz(): string;
  /**
   * Reads keyrings and credentials again and probes the keys, of every key set although one fails.
   *
   * @throws KmsPluginError; a key set that fails stays as it was
   */
  reload(): Promise<void>;
  /**
   * Serves exactly these key sets from now on. One with the provider it had keeps running; one with another provider is turned over to it;
   * sockets that stay keep their connections, and calls under way end with the provider they began with.
   *
   * @throws KmsPluginError or KmsApiError; then everything stays as it was, and the new providers are the caller's
   */
  replace(keySets: readonly KeySetOptions[]): Promise<void>;
  /** Counts a change of configuration that was tried. */
  reloaded(result: 'success' | 'failure'): void;
  /** Stops listening, lets calls in flight finish, closes the providers. */
  close(): Promise<void>;
}

/**
 * Starts a plugin with one key set; resolves when its sockets listen, which does not wait for the key backend.
 *
 * @throws KmsApiError when a socket cannot be had, KmsPluginError `invalid_options` or `health_listen_failed`;
 * then nothing is left open but the provider
 */
export async function startPlugin(options: PluginOptions): Promise<Plugin> {
  return startKeySets({ ...options, keySets: [options] });
}

/** As `startPlugin`, with any number of key sets. */
export async function startKeySets(options: KeySetsOptions): Promise<Plugin> {
  const { logger, clock, epochMs, randomBytes } = options;
  const registry = options.registry ?? new Registry();
  const metrics = createMetrics(registry);
  const context: KeySetContext = { metrics, logger, clock, epochMs, randomBytes };
  const routes = createSocketRoutes(options.inheritedSockets);
  let keySets: readonly KeySet[] = [];
  let closing: Promise<void> | undefined;

  const replace = async (wanted: readonly KeySetOptions[]): Promise<void> => {
    if (closing !== undefined) throw new KmsPluginError('invalid_options', 'The plugin is stopping.');
    checkNames(wanted);
    const kept = new Set<KeySet>();
    const next: KeySet[] = [];
    try {
      for (const wish of wanted) {
        const same = keySets.find((keySet) => sameKeySet(keySet, wish));
        if (same !== undefined) kept.add(same);
        next.push(same ?? startKeySet(wish, context));
      }
      await routes.apply(next.map((keySet, index) => ({ keySet, listen: wanted[index]?.listen ?? [] })));
    } catch (error) {
      for (const keySet of next) if (!kept.has(keySet)) keySet.quiesce();
      throw error;
    }
    const left = keySets.filter((keySet) => !kept.has(keySet));
    keySets = next;
    for (const keySet of next) {
      for (const socket of routes.of(keySet)) {
        if (kept.has(keySet) || isPortable(socket)) continue;
        logger?.warn(
          { socket },
          'kube-apiserver cannot find this abstract socket: Node before 22 pads its name; use a path, a name of 107 bytes, or Node 22',
        );
      }
    }
    for (const keySet of kept) keySet.probe();
    await Promise.all(left.map(retire));
  };

  /** Ends a key set that was taken away, and its provider unless another key set has it now. */
  const retire = async (keySet: KeySet): Promise<void> => {
    await keySet.drain();
    const { provider } = keySet.options;
    if (!keySets.some((other) => other.name === keySet.name && other.keyId() === keySet.keyId()))
      keySet.forget();
    if (!keySets.some((other) => other.options.provider === provider)) await provider.close();
  };

  let healthServer: HealthServer | undefined;
  try {
    await replace(options.keySets);
    healthServer = options.health && (await startHealthServer(options.health, () => keySets, registry));
  } catch (error) {
    for (const keySet of keySets) keySet.quiesce();
    await routes.close(0);
    throw error;
  }

  const close = async (): Promise<void> => {
    for (const keySet of keySets) keySet.quiesce();
    await routes.close();
    await healthServer?.close();
    await Promise.all(keySets.map((keySet) => keySet.drain()));
    await Promise.all(
      [...new Set(keySets.map(({ options: { provider } }) => provider))].map((provider) => provider.close()),
    );
  };
  const first = (): KeySet => keySets[0] as KeySet;
  return {
    get sockets() {
      return keySets.flatMap((keySet) => routes.of(keySet));
    },
    healthEndpoint: healthServer?.endpoint,
    keySets: () =>
      keySets.map((keySet) => ({
        name: keySet.name,
        sockets: routes.of(keySet),
        keyId: keySet.keyId(),
        healthz: keySet.health.summary(),
      })),
    keyId: () => first().keyId(),
    healthz: () => first().health.summary(),
    reload: async () => {
      const results = await Promise.allSettled(keySets.map((keySet) => keySet.reload()));
      const failed = results.find((result) => result.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    },
    replace,
    reloaded: (result) => {
      metrics.reloads.inc({ result });
    },
    close: () => (closing ??= close()),
  };
}

function checkNames(keySets: readonly KeySetOptions[]): void {
  if (keySets.length === 0) throw new KmsPluginError('invalid_options', 'Serve at least one key set.');
  const names = new Set<string>();
  for (const name of keySets.map(keySetName)) {
    if (names.has(name)) {
      throw new KmsPluginError(
        'invalid_options',
        `Two key sets are named "${name}". Give each a name of its own.`,
      );
    }
    names.add(name);
  }
}

/** The same provider object, and nothing else changed but where it listens. */
function sameKeySet({ options }: KeySet, wish: KeySetOptions): boolean {
  return (
    options.provider === wish.provider &&
    options.name === wish.name &&
    options.statusVersion === wish.statusVersion &&
    options.socketGroupId === wish.socketGroupId &&
    options.awsMetrics === wish.awsMetrics &&
    options.operationTimeoutMs === wish.operationTimeoutMs &&
    options.probeIntervalMs === wish.probeIntervalMs &&
    options.probeRetryMs === wish.probeRetryMs &&
    JSON.stringify(options.limits) === JSON.stringify(wish.limits) &&
    options.failOnPendingDeletion === wish.failOnPendingDeletion &&
    String(options.versions) === String(wish.versions)
  );
}
