/**
 * The provider as the rest of the plugin uses it: with deadlines, limits, single flight, metrics, and every result told to
 * the key's health.
 */
import type { Clock } from './clock.js';
import { deadlineOf, type Caller, type Deadline } from './deadline.js';
import { ProviderError, toProviderError, unopenable } from './errors.js';
import { createGuard, type CallLimits } from './guard.js';
import type { GuardLabels } from './guard-metrics.js';
import type { KeyHealth, Operation } from './key-health.js';
import type { Logger } from './logger.js';
import { hashKeyId, type PluginMetrics } from './metrics.js';
import type { Provider, Unwrap, Wrapped } from './provider.js';
import { createSingleFlight } from './single-flight.js';
import type { KeySnapshot } from './snapshot.js';

/** Who asks, and whether it is only the prober. */
export interface BackendCall extends Caller {
  readonly probe?: boolean;
}

export interface Backend {
  snapshot(): KeySnapshot;
  /** @throws ProviderError */
  encrypt(snapshot: KeySnapshot, plaintext: Buffer, call?: BackendCall): Promise<Wrapped>;
  /** @throws ProviderError */
  decrypt(wrapped: Unwrap, call?: BackendCall): Promise<Buffer>;
  /** Leaves the metrics; calls go on. */
  forget(): void;
}

export interface BackendOptions {
  /** Whose backend it is; a metric label. */
  readonly keySet: string;
  readonly provider: Provider;
  readonly clock: Clock;
  /** 0 ≤ x < 1; spreads retries. */
  readonly random: () => number;
  readonly health: KeyHealth;
  readonly metrics: PluginMetrics;
  readonly logger: Logger;
  readonly operationTimeoutMs: number;
  readonly limits: CallLimits;
}

const noCall: BackendCall = {};

export function createBackend(options: BackendOptions): Backend {
  const { provider, clock, health, metrics, logger } = options;
  const flights = createSingleFlight(clock, options.operationTimeoutMs);
  const keyIdHash = (): string => hashedIdOf(provider.snapshot());
  const labels: GuardLabels = { keySet: options.keySet, keyIdHash };
  const counted = metrics.guards.observer(labels);
  const guard = createGuard({
    clock,
    random: options.random,
    limits: options.limits,
    observer: {
      ...counted,
      breakerChanged: (operation, state) => {
        counted.breakerChanged(operation, state);
        logger.warn({ keySet: options.keySet, operation, state }, 'the circuit breaker changed');
      },
    },
  });
  const unwatch = metrics.guards.watch(labels, guard);

  const observed = async <T>(
    operation: Operation,
    call: BackendCall,
    deadline: Deadline,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> => {
    const startMs = clock.nowMs();
    let result = 'ok';
    try {
      const value = await guard.run(
        operation,
        call.probe === true ? 'probe' : operation,
        deadline,
        call.signal,
        run,
      );
      health.succeeded(operation, clock.nowMs());
      return value;
    } catch (error) {
      const failed = toProviderError(error);
      result = failed.failure.class;
      health.failed(operation, clock.nowMs(), failed);
      if (failed.failure.class === 'corrupt') {
        logger.warn(
          { operation, reason: failed.reason, causedBy: causesOf(failed) },
          'a ciphertext cannot be decrypted',
        );
      }
      throw failed;
    } finally {
      const key = { key_set: options.keySet, provider: provider.name, key_id_hash: keyIdHash(), operation };
      metrics.operations.inc({ ...key, result });
      metrics.operationSeconds.observe(key, (clock.nowMs() - startMs) / 1000);
    }
  };

  return {
    snapshot: () => provider.snapshot(),
    forget: unwatch,
    encrypt: (snapshot, plaintext, call = noCall) =>
      observed('encrypt', call, deadlineOf(options.operationTimeoutMs, call), (signal) =>
        provider.encrypt(snapshot, plaintext, signal),
      ),
    decrypt: (wrapped, call = noCall) => {
      if (wrapped.ciphertext.length === 0) {
        return Promise.reject(new ProviderError('empty ciphertext', unopenable));
      }
      // A flight serves callers that do not know of each other: it outlives each of them, and each has its own deadline.
      const { result, shared } = flights.run(
        flightKey(wrapped),
        () =>
          observed(
            'decrypt',
            { probe: call.probe === true },
            deadlineOf(options.operationTimeoutMs, noCall),
            (signal) => provider.decrypt(wrapped, signal),
          ),
        deadlineOf(options.operationTimeoutMs, call),
      );
      if (shared) metrics.sharedDecrypts.inc({ key_set: options.keySet });
      return result;
    },
  };
}

const hashedIds = new WeakMap<KeySnapshot, string>();

/** Made once for each snapshot: every call needs it. */
function hashedIdOf(snapshot: KeySnapshot): string {
  let hashed = hashedIds.get(snapshot);
  if (hashed === undefined) hashedIds.set(snapshot, (hashed = hashKeyId(snapshot.keyId)));
  return hashed;
}

/** Names and codes only: a stranger's message may hold anything. */
function causesOf(error: Error): readonly string[] {
  const causes: string[] = [];
  const causesMax = 5;
  for (let cause = error.cause; cause instanceof Error && causes.length < causesMax; cause = cause.cause) {
    causes.push('code' in cause && typeof cause.code === 'string' ? cause.code : cause.name);
  }
  return causes;
}

/** Equal keys mean equal requests: every part is preceded by its length. */
function flightKey(wrapped: Unwrap): string {
  const parts = [wrapped.version, wrapped.keyId ?? '', wrapped.ciphertext.toString('latin1')];
  for (const [key, value] of Object.entries(wrapped.annotations).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    parts.push(key, value.toString('latin1'));
  }
  return parts.map((part) => `${part.length}:${part}`).join('');
}
