/**
 * Tries the key in the background, so that Status and the health port answer from memory.
 *
 * One probe wraps random bytes and unwraps them again, the two calls an API server needs. While wrapping fails, what an earlier
 * probe wrapped is unwrapped: otherwise nothing would say that reads fail too. There is at most one at a time: the next is
 * planned when the last one ends.
 */
import type { Backend, BackendCall } from './backend.js';
import type { Clock } from './clock.js';
import { ProviderError, unexpected } from './errors.js';
import type { KeyHealth } from './key-health.js';
import type { Unwrap } from './provider.js';
import type { KeySnapshot } from './snapshot.js';

export interface ProberOptions {
  readonly backend: Backend;
  readonly health: KeyHealth;
  readonly clock: Clock;
  readonly randomBytes: (sizeBytes: number) => Buffer;
  readonly intervalMs: number;
  readonly retryMs: number;
}

export interface Prober {
  /** Resolves when the first probe has ended, well or badly. */
  readonly firstProbe: Promise<void>;
  /** Probes now unless one is under way; resolves when it has ended. */
  probe(): Promise<void>;
  /** The key began to fail: the next probe comes after the retry time at the latest. */
  hasten(): void;
  stop(): void;
}

const probeBytes = 32;
const asProbe: BackendCall = { probe: true };

export function startProber(options: ProberOptions): Prober {
  const { backend, health, clock } = options;
  let stopped = false;
  let underWay: Promise<void> | undefined;
  let cancelNext = (): void => {};
  let nextIsFar = false;
  let lastWrapped: Unwrap | undefined;

  const tryKey = async (snapshot: KeySnapshot): Promise<void> => {
    const plaintext = options.randomBytes(probeBytes);
    try {
      const wrapped = await backend.encrypt(snapshot, Buffer.from(plaintext), asProbe);
      lastWrapped = { ...wrapped, version: 'v2', keyId: snapshot.keyId };
      const opened = await backend.decrypt(lastWrapped, asProbe);
      if (!opened.equals(plaintext)) {
        health.failed('decrypt', clock.nowMs(), new ProviderError('probe came back changed', unexpected));
      }
    } catch {
      // The backend has told the key's health already.
      if (health.of('encrypt').kind === 'failing') await tryLastWrapped(snapshot);
    } finally {
      plaintext.fill(0);
    }
  };

  const tryLastWrapped = async ({ keyId }: KeySnapshot): Promise<void> => {
    // An old key's failure says nothing about the one that writes now.
    if (lastWrapped?.keyId !== keyId) return;
    try {
      (await backend.decrypt(lastWrapped, asProbe)).fill(0);
    } catch {
      // As above.
    }
  };

  const cycle = async (): Promise<void> => {
    cancelNext();
    nextIsFar = false;
    const tried = backend.snapshot();
    await tryKey(tried);
    // Where the backend has to be reached once to know the key, the try has shown it.
    const shown = backend.snapshot();
    if (shown.keyId !== tried.keyId && !stopped) await tryKey(shown);
    underWay = undefined;
    if (stopped) return;
    plan(health.summary() === 'ok' ? options.intervalMs : options.retryMs);
  };
  const plan = (delayMs: number): void => {
    cancelNext();
    nextIsFar = delayMs > options.retryMs;
    cancelNext = clock.after(delayMs, () => {
      void probe();
    });
  };
  const probe = (): Promise<void> => (stopped ? Promise.resolve() : (underWay ??= cycle()));

  return {
    firstProbe: probe(),
    probe,
    hasten: () => {
      if (nextIsFar && !stopped) plan(options.retryMs);
    },
    stop: () => {
      stopped = true;
      cancelNext();
    },
  };
}
