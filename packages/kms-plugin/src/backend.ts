/**
 * The provider as the rest of the plugin uses it: with deadlines, limits, single flight, metrics, and every result told to
 * the key's health.
 */
import type { Clock } from './clock.js';
import { deadlineOf, withDeadline, type Deadline } from './deadline.js';
import { ProviderError, toProviderError, unopenable } from './errors.js';
import type { CallLimits } from './guard.js';
import { createKeyCalls, type BackendCall } from './key-calls.js';
import { operations, type KeyHealth, type Operation } from './key-health.js';
import type { Logger } from './logger.js';
import { attachMembers } from './member-host.js';
import type { PluginMetrics } from './metrics.js';
import type { Provider, Unwrap, Wrapped } from './provider.js';
import { createSingleFlight } from './single-flight.js';
import type { KeySnapshot } from './snapshot.js';

export type { BackendCall };

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
/** How much of the time of a group's call one member may take. */
const memberShare = 0.95;

export function createBackend(options: BackendOptions): Backend {
  const { provider, clock, health, metrics } = options;
  const flights = createSingleFlight(clock, options.operationTimeoutMs);
  const { keySet } = options;
  // Members end before the group does, so that it can still say which of them hung.
  const memberDeadline = deadlineOf(options.operationTimeoutMs * memberShare, noCall);
  const group = attachMembers({ ...options, deadline: memberDeadline });
  const calls =
    group === undefined
      ? createKeyCalls({ ...options, guardName: keySet, health: { of: health, operations } })
      : undefined;

  const run = async <T>(
    operation: Operation,
    call: BackendCall,
    deadline: Deadline,
    attempt: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> => {
    if (calls !== undefined) return calls.run(operation, call, deadline, attempt);
    const inGroup = (): Promise<T> => withDeadline(clock, deadline, call.signal, attempt);
    return group === undefined ? inGroup() : group.run(call, inGroup);
  };

  return {
    snapshot: () => provider.snapshot(),
    forget: () => {
      calls?.forget();
      group?.forget();
    },
    encrypt: async (snapshot, plaintext, call = noCall) => {
      try {
        const wrapped = await run('encrypt', call, deadlineOf(options.operationTimeoutMs, call), (signal) =>
          provider.encrypt(snapshot, plaintext, signal),
        );
        health.recipients(undefined);
        return wrapped;
      } catch (error) {
        // The primary wrapped, and somebody else who must did not.
        if (group !== undefined && health.of('encrypt').kind === 'healthy') {
          health.recipients(toProviderError(error));
        }
        throw error;
      }
    },
    decrypt: (wrapped, call = noCall) => {
      if (wrapped.ciphertext.length === 0) {
        return Promise.reject(new ProviderError('empty ciphertext', unopenable));
      }
      // A flight serves callers that do not know of each other: it outlives each of them, and each has its own deadline.
      const { result, shared } = flights.run(
        flightKey(wrapped),
        () =>
          run(
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

/** Equal keys mean equal requests: every part is preceded by its length. */
function flightKey(wrapped: Unwrap): string {
  const parts = [wrapped.version, wrapped.keyId ?? '', wrapped.ciphertext.toString('latin1')];
  for (const [key, value] of Object.entries(wrapped.annotations).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    parts.push(key, value.toString('latin1'));
  }
  return parts.map((part) => `${part.length}:${part}`).join('');
}
