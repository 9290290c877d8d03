/**
 * The provider as the rest of the plugin uses it: with deadlines, single flight, metrics, and every result told to the
 * key's health.
 */
import type { Clock } from './clock.js';
import { withDeadline } from './deadline.js';
import { ProviderError, unopenable } from './errors.js';
import type { KeyHealth, Operation } from './key-health.js';
import type { Logger } from './logger.js';
import type { PluginMetrics } from './metrics.js';
import type { Provider, Unwrap, Wrapped } from './provider.js';
import { createSingleFlight } from './single-flight.js';
import type { KeySnapshot } from './snapshot.js';

export interface Backend {
  snapshot(): KeySnapshot;
  /** @throws ProviderError */
  encrypt(snapshot: KeySnapshot, plaintext: Buffer, caller?: AbortSignal): Promise<Wrapped>;
  /** @throws ProviderError */
  decrypt(wrapped: Unwrap): Promise<Buffer>;
}

export interface BackendOptions {
  readonly provider: Provider;
  readonly clock: Clock;
  readonly health: KeyHealth;
  readonly metrics: PluginMetrics;
  readonly logger: Logger;
  readonly operationTimeoutMs: number;
}

export function createBackend(options: BackendOptions): Backend {
  const { provider, clock, health, metrics, logger } = options;
  const flights = createSingleFlight();

  const observed = async <T>(
    operation: Operation,
    caller: AbortSignal | undefined,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> => {
    const startMs = clock.nowMs();
    let result = 'ok';
    try {
      const value = await withDeadline(clock, options.operationTimeoutMs, caller, run);
      health.succeeded(operation, clock.nowMs());
      return value;
    } catch (error) {
      // withDeadline rejects with nothing else.
      const failed = error as ProviderError;
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
      metrics.operations.inc({ provider: provider.name, operation, result });
      metrics.operationSeconds.observe(
        { provider: provider.name, operation },
        (clock.nowMs() - startMs) / 1000,
      );
    }
  };

  return {
    snapshot: () => provider.snapshot(),
    encrypt: (snapshot, plaintext, caller) =>
      observed('encrypt', caller, (signal) => provider.encrypt(snapshot, plaintext, signal)),
    decrypt: (wrapped) => {
      if (wrapped.ciphertext.length === 0) {
        return Promise.reject(new ProviderError('empty ciphertext', unopenable));
      }
      const { result, shared } = flights.run(flightKey(wrapped), () =>
        observed('decrypt', undefined, (signal) => provider.decrypt(wrapped, signal)),
      );
      if (shared) metrics.sharedDecrypts.inc();
      return result;
    },
  };
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
