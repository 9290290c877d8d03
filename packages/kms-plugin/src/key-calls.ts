/** The calls to one key: within limits, with deadlines, counted, and every result told to the key's health. */
import type { Clock } from './clock.js';
import type { Caller, Deadline } from './deadline.js';
import { toProviderError, type ProviderError } from './errors.js';
import { createGuard, type CallLimits } from './guard.js';
import type { GuardLabels } from './guard-metrics.js';
import type { KeyHealth, Operation } from './key-health.js';
import type { Logger } from './logger.js';
import { hashKeyId, type PluginMetrics } from './metrics.js';
import type { Provider } from './provider.js';
import type { KeySnapshot } from './snapshot.js';

/** Who asks, and whether it is only the prober. */
export interface BackendCall extends Caller {
  readonly probe?: boolean;
}

export interface KeyCallsOptions {
  /** Whose key it is; a metric label. */
  readonly keySet: string;
  /** Tells the keys of one key set apart in what the guards count; the key set's name for its primary. */
  readonly guardName: string;
  readonly provider: Provider;
  readonly clock: Clock;
  /** 0 ≤ x < 1; spreads retries. */
  readonly random: () => number;
  /** Told the result of each operation it lists. */
  readonly health: { readonly of: KeyHealth; readonly operations: readonly Operation[] };
  readonly metrics: PluginMetrics;
  readonly logger: Logger;
  readonly limits: CallLimits;
}

export interface KeyCalls {
  /** @throws ProviderError */
  run<T>(
    operation: Operation,
    call: BackendCall,
    deadline: Deadline,
    attempt: (signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
  /** Leaves the metrics; calls go on. */
  forget(): void;
}

export function createKeyCalls(options: KeyCallsOptions): KeyCalls {
  const { provider, clock, health, metrics, logger } = options;
  const keyIdHash = (): string => hashedIdOf(provider.snapshot());
  const labels: GuardLabels = { keySet: options.guardName, keyIdHash };
  const counted = metrics.guards.observer(labels);
  const guard = createGuard({
    clock,
    random: options.random,
    limits: options.limits,
    observer: {
      ...counted,
      breakerChanged: (operation, state) => {
        counted.breakerChanged(operation, state);
        logger.warn({ keySet: options.guardName, operation, state }, 'the circuit breaker changed');
      },
    },
  });
  const unwatch = metrics.guards.watch(labels, guard);

  return {
    forget: unwatch,
    run: async (operation, call, deadline, attempt) => {
      const startMs = clock.nowMs();
      const counts = health.operations.includes(operation);
      let result = 'ok';
      try {
        const value = await guard.run(
          operation,
          call.probe === true ? 'probe' : operation,
          deadline,
          call.signal,
          attempt,
        );
        if (counts) health.of.succeeded(operation, clock.nowMs());
        return value;
      } catch (error) {
        const failed = toProviderError(error);
        result = failed.failure.class;
        if (counts) health.of.failed(operation, clock.nowMs(), failed);
        if (failed.failure.class === 'corrupt') {
          logger.warn(
            { keySet: options.guardName, operation, reason: failed.reason, causedBy: causesOf(failed) },
            'a ciphertext cannot be decrypted',
          );
        }
        throw failed;
      } finally {
        const key = {
          key_set: options.keySet,
          provider: provider.name,
          key_id_hash: keyIdHash(),
          operation,
        };
        metrics.operations.inc({ ...key, result });
        metrics.operationSeconds.observe(key, (clock.nowMs() - startMs) / 1000);
      }
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
function causesOf(error: ProviderError): readonly string[] {
  const causes: string[] = [];
  const causesMax = 5;
  for (let cause = error.cause; cause instanceof Error && causes.length < causesMax; cause = cause.cause) {
    causes.push('code' in cause && typeof cause.code === 'string' ? cause.code : cause.name);
  }
  return causes;
}
