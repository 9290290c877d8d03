/**
 * A key set: one provider's key as API servers see it on their sockets, with its own health, probes and version.
 *
 * Key sets of one process share nothing but metrics and the health port: one that fails leaves the others as they are.
 */
import { randomBytes as systemRandomBytes } from 'node:crypto';
import { KmsApiError, type CallReport, type KmsV1Service, type KmsV2Service } from '@waxseal/kms-api';
import { createBackend } from './backend.js';
import { systemClock, type Clock } from './clock.js';
import { KmsPluginError, placeOf } from './errors.js';
import type { CallLimits } from './guard.js';
import { createKeyHealth, operations, type KeyHealth, type Operation } from './key-health.js';
import { silentLogger, type Logger } from './logger.js';
import { hashKeyId, type PluginMetrics } from './metrics.js';
import { startProber } from './prober.js';
import { daysUntilUnreadable, startKeyWatch } from './key-watch.js';
import type { Provider, ProviderMember } from './provider.js';
import { createDaysGauge } from './recipients/days-gauge.js';
import { createSecretFileWatch } from './secret-files.js';
import { createV1Service, createV2Service } from './service.js';

export interface KeySetOptions {
  /** Tells key sets apart in metrics, logs and on the health port; the provider's name by default. */
  readonly name?: string;
  /** `unix:///path`, `/path`, `@name`, or `fd://name` for a socket of systemd's. */
  readonly listen: string | readonly string[];
  /** The number of the group that may connect (mode 0660); the process's own user alone by default (0600). */
  readonly socketGroupId?: number | undefined;
  /** The plugin closes it when no key set uses it any more. */
  readonly provider: Provider;
  /** Files with the provider's secrets, to warn of those that others may read; none by default. */
  readonly secretFiles?: readonly string[] | undefined;
  /** The KMS versions to serve; both by default, v2 alone for a key with recipients, which KMS v1 cannot store. */
  readonly versions?: readonly ('v1' | 'v2')[] | undefined;
  /**
   * What `Status.version` answers; `v2` by default. It must not change under a running API server: `v2beta1` when this
   * plugin takes the place of the AWS, Azure or Google one.
   */
  readonly statusVersion?: 'v2' | 'v2beta1' | undefined;
  /** Counts calls under the metric names of aws-encryption-provider too; off by default, for they carry the key id in the clear. */
  readonly awsMetrics?: boolean | undefined;
  /**
   * Longest time one backend call may take; 2800 by default, inside the 3000 an API server waits. Below 100 the backend
   * has hardly a chance.
   */
  readonly operationTimeoutMs?: number | undefined;
  /** Limits on the calls to the backend, retries and the circuit breaker. */
  readonly limits?: CallLimits | undefined;
  /** Time between two probes of a healthy key; 60,000 by default, as an API server polls Status. */
  readonly probeIntervalMs?: number | undefined;
  /** Time between two probes of a failing key; 5000 by default. */
  readonly probeRetryMs?: number | undefined;
  /**
   * Whether `Status.healthz` says so when a key that new values are wrapped with is about to be deleted or to expire; false by default: metrics and log
   * say it in any case. An API server whose plugin is not healthy fails its own readiness.
   */
  readonly failOnPendingDeletion?: boolean | undefined;
}

/** Why `versions` may not name v1 beside recipients, and what to do. An API server fails its readiness on a v1 provider that does not encrypt. */
export const recipientsNeedV2 =
  'KMS v1 has no place to store what they wrap: serve v2 alone, and give old KMS v1 values a key set of their own, without recipients.';

/** What the key sets of a process share. */
export interface KeySetContext {
  readonly metrics: PluginMetrics;
  readonly clock?: Clock | undefined;
  /** Milliseconds since 1970, to compare with the dates of a backend. */
  readonly epochMs?: (() => number) | undefined;
  readonly logger?: Logger | undefined;
  readonly randomBytes?: ((sizeBytes: number) => Buffer) | undefined;
  /** 0 ≤ x < 1; spreads retries. */
  readonly random?: (() => number) | undefined;
}

export interface KeySet {
  readonly name: string;
  readonly options: KeySetOptions;
  readonly statusVersion: 'v2' | 'v2beta1';
  readonly health: KeyHealth;
  readonly v1: KmsV1Service;
  readonly v2: KmsV2Service;
  /** The key a write uses now. */
  keyId(): string;
  /** Counts and logs a call on one of its sockets. */
  called(report: CallReport): void;
  /** Reads keyrings and credentials again and probes the key. @throws KmsPluginError; then everything stays as it was */
  reload(): Promise<void>;
  /** No more probes; calls go on. */
  quiesce(): void;
  /** Tries the key now, in the background. */
  probe(): void;
  /** No more probes; resolves when the calls under way have ended. The provider is the caller's then. */
  drain(): Promise<void>;
  /** Takes what it was out of the metrics. */
  forget(): void;
}

/** @throws KmsPluginError `invalid_options` */
export function startKeySet(options: KeySetOptions, context: KeySetContext): KeySet {
  const { provider } = options;
  const { metrics } = context;
  const clock = context.clock ?? systemClock;
  const logger = context.logger ?? silentLogger;
  const name = keySetName(options);
  const needsV2 = provider.needsV2 === true;
  const versions = options.versions ?? (needsV2 ? ['v2'] : ['v1', 'v2']);
  const operationTimeoutMs = positive('operationTimeoutMs', options.operationTimeoutMs ?? 2800);
  const intervalMs = positive('probeIntervalMs', options.probeIntervalMs ?? 60_000);
  const retryMs = positive('probeRetryMs', options.probeRetryMs ?? 5000);
  if (versions.length === 0) throw new KmsPluginError('invalid_options', 'Serve at least one of v1 and v2.');
  if (needsV2 && versions.includes('v1')) {
    throw new KmsPluginError('invalid_options', `Key set "${name}" has recipients, and ${recipientsNeedV2}`);
  }
  const statusVersion = options.statusVersion ?? 'v2';

  let quiet = false;
  let hastenProbe = (): void => {};
  let askOfKeys = (): void => {};
  let askAgain = (): void => {};
  const shownKeys = new Map<Operation, string>();
  const health = createKeyHealth(
    (operation, known) => {
      const { keyId } = provider.snapshot();
      const labels = { key_set: name, key_id_hash: hashKeyId(keyId), operation };
      const shown = shownKeys.get(operation);
      // What is said of a key that is no longer used would stay for ever, as a failure too.
      if (shown !== undefined && shown !== keyId)
        metrics.healthy.remove({ ...labels, key_id_hash: hashKeyId(shown) });
      shownKeys.set(operation, keyId);
      metrics.healthy.set(labels, known.kind === 'healthy' ? 1 : 0);
      // A provider that is closed under a last probe says nothing of the key.
      if (quiet) return;
      if (known.kind === 'failing') {
        // A call may have found it out long before the next probe, and nothing but a probe may find the end of it.
        hastenProbe();
        // What the backend refuses for the key's own state has a reason, and maybe a date, that an operator must not wait an hour for.
        if (known.error.failure.class === 'user-induced') askOfKeys();
        logger.warn(
          {
            keySet: name,
            keyId,
            operation,
            class: known.error.failure.class,
            reason: known.error.message,
            ...(known.error.failure.class === 'internal' ? { at: placeOf(known.error.cause) } : {}),
          },
          'the key fails',
        );
      } else {
        askAgain();
        logger.info({ keySet: name, keyId, operation }, 'the key works');
      }
    },
    (error) => {
      if (error === undefined) {
        logger.info({ keySet: name }, 'the recipients that new DEK sources need work');
        return;
      }
      hastenProbe();
      logger.warn(
        { keySet: name, class: error.failure.class, reason: error.message },
        'new DEK sources cannot be wrapped for all who must be able to open them',
      );
    },
  );
  const backend = createBackend({
    keySet: name,
    provider,
    clock,
    health,
    metrics,
    logger,
    operationTimeoutMs,
    limits: options.limits ?? {},
    random: context.random ?? Math.random,
  });
  const prober = startProber({
    backend,
    health,
    clock,
    randomBytes: context.randomBytes ?? systemRandomBytes,
    intervalMs,
    retryMs,
  });
  hastenProbe = () => {
    prober.hasten();
  };

  const members: readonly ProviderMember[] = provider.members ?? [
    { name: 'primary', role: 'primary', provider },
  ];
  const epochMs = context.epochMs ?? Date.now;
  const days = createDaysGauge(metrics.recipients, name);
  const watch = startKeyWatch({
    keySet: name,
    members,
    clock,
    epochMs,
    random: context.random ?? Math.random,
    logger,
    onCondition: (member, condition) => {
      days.set(member, daysUntilUnreadable(condition, epochMs()));
    },
    onAsked: (member, result) => {
      metrics.recipients.conditionChecks.inc({ key_set: name, recipient: member.name, result });
    },
  });

  const watchSecrets = createSecretFileWatch(name, options.secretFiles ?? [], logger);
  void watchSecrets();

  askOfKeys = () => {
    void watch.ask();
  };
  askAgain = () => {
    if (watch.danger() !== undefined) void watch.ask();
  };

  // The first Status of an API server that starts with the plugin gets a real answer, unless the backend hangs.
  const firstAnswerMs = operationTimeoutMs / 2;
  let asked: Promise<void> | undefined;
  const ready = (): Promise<void> =>
    (asked ??= new Promise((resolve) => {
      const cancel = clock.after(firstAnswerMs, resolve);
      void prober.firstProbe.finally(() => {
        cancel();
        resolve();
      });
    }));

  const underWay = new Set<Promise<unknown>>();
  const tracked = <T>(version: 'v1' | 'v2', run: () => Promise<T>): Promise<T> => {
    if (!versions.includes(version)) {
      return Promise.reject(
        new KmsApiError(
          'unimplemented',
          `KMS ${version} is not served here; the plugin is set to ${versions.join()}.`,
        ),
      );
    }
    const call = run();
    const ended: Promise<unknown> = call
      .catch(() => undefined)
      .finally(() => {
        underWay.delete(ended);
      });
    underWay.add(ended);
    return call;
  };
  const v1 = createV1Service(backend);
  const v2 = createV2Service({
    backend,
    health,
    statusVersion,
    ready,
    danger: () => (options.failOnPendingDeletion === true ? watch.danger() : undefined),
  });

  return {
    name,
    options,
    statusVersion,
    health,
    v1: {
      version: () => tracked('v1', () => v1.version()),
      encrypt: (plaintext, signal, timeoutMs) =>
        tracked('v1', () => v1.encrypt(plaintext, signal, timeoutMs)),
      decrypt: (ciphertext, signal, timeoutMs) =>
        tracked('v1', () => v1.decrypt(ciphertext, signal, timeoutMs)),
    },
    v2: {
      status: () => tracked('v2', () => v2.status()),
      encrypt: (uid, plaintext, signal, timeoutMs) =>
        tracked('v2', () => v2.encrypt(uid, plaintext, signal, timeoutMs)),
      decrypt: (uid, request, signal, timeoutMs) =>
        tracked('v2', () => v2.decrypt(uid, request, signal, timeoutMs)),
    },
    keyId: () => backend.snapshot().keyId,
    called: (report) => {
      const { version, method, code } = report;
      metrics.requests.inc({ key_set: name, version, method, code });
      metrics.requestSeconds.observe({ key_set: name, version, method }, report.durationMs / 1000);
      if (options.awsMetrics === true) metrics.aws().called(provider.snapshot().keyId, report);
      if (report.error === undefined) return;
      const reason = report.error instanceof KmsApiError ? report.error.message : 'unexpected error';
      logger.debug({ keySet: name, version, method, code, uid: report.uid, reason }, 'a call failed');
    },
    reload: async () => {
      await provider.reload();
      void watchSecrets();
      await prober.probe();
      void watch.ask();
    },
    quiesce: () => {
      quiet = true;
      prober.stop();
      watch.stop();
    },
    probe: () => {
      void prober.probe();
      void watch.ask();
    },
    drain: async () => {
      quiet = true;
      prober.stop();
      watch.stop();
      await Promise.all(underWay);
    },
    forget: () => {
      backend.forget();
      days.forget();
      for (const operation of operations) {
        metrics.healthy.remove({
          key_set: name,
          key_id_hash: hashKeyId(provider.snapshot().keyId),
          operation,
        });
      }
    },
  };
}

/** The name of a key set, given or not. */
export function keySetName(options: Pick<KeySetOptions, 'name' | 'provider'>): string {
  return options.name ?? options.provider.name;
}

function positive(name: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw new KmsPluginError('invalid_options', `${name} must be a number above 0.`);
}
