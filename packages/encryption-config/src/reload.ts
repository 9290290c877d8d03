/**
 * A changed configuration file is put in force while the server runs.
 *
 * Every minute the file's hash is compared. A new one is loaded, its plugins must become healthy, then it replaces the
 * old one, which is closed when every call that may still use it has ended. A file that is bad, or whose plugins are
 * not healthy, leaves the old configuration in force and is tried again at the next poll.
 *
 * Source of the rule: k8s.io/apiserver `server/options/encryptionconfig/controller`.
 */
import { errorMessage } from '@waxseal/envelope';
import type { Logger } from 'pino';
import type { Clock } from './clock.js';
import { EncryptionConfigError } from './errors.js';
import type { LoadedConfiguration } from './load.js';
import type { EncryptionMetrics } from './metrics.js';

const RELOAD_POLL_MS = 60_000;
const HEALTH_POLL_MS = 100;
const MIN_HEALTH_WAIT_MS = 10_000;

export interface ReloadOptions {
  readonly file: string;
  /** Hash of the file's content now. */
  readonly hashFile: () => Promise<string>;
  readonly load: () => Promise<LoadedConfiguration>;
  readonly clock: Clock;
  readonly metrics: Pick<EncryptionMetrics, 'reloaded' | 'configInForce'>;
  readonly logger: Logger;
}

export interface Reloader {
  /** The configuration in force. */
  readonly current: () => LoadedConfiguration;
  /** Looks at the file now, as every minute. Resolves when that is done; never rejects. */
  readonly poll: () => Promise<void>;
  /** Stops polling and closes the configuration in force and those that wait to be closed. */
  readonly close: () => void;
}

/** @param first in force at the start */
export function startReloading(first: LoadedConfiguration, options: ReloadOptions): Reloader {
  const { clock, metrics, logger, file } = options;
  let inForce = first;
  let closed = false;
  let cancelPoll: () => void = () => undefined;
  let underWay: Promise<void> | undefined;
  const retiring = new Set<() => void>();

  const retire = (old: LoadedConfiguration): void => {
    const cancel = clock.schedule(old.closeGraceMs, () => {
      retiring.delete(closeNow);
      old.close();
    });
    const closeNow = (): void => {
      cancel();
      old.close();
    };
    retiring.add(closeNow);
  };

  const becomesHealthy = async (fresh: LoadedConfiguration): Promise<void> => {
    const deadlineMs = clock.monotonicMs() + Math.max(fresh.closeGraceMs, MIN_HEALTH_WAIT_MS);
    for (;;) {
      try {
        for (const healthCheck of fresh.healthChecks) await healthCheck.check();
        return;
      } catch (error) {
        if (closed || clock.monotonicMs() + HEALTH_POLL_MS > deadlineMs) {
          throw new EncryptionConfigError(
            'reload-failed',
            `health check for new transformers failed: ${errorMessage(error)}`,
            { cause: error },
          );
        }
      }
      await new Promise<void>((resolve) => clock.schedule(HEALTH_POLL_MS, resolve));
    }
  };

  const replace = async (): Promise<void> => {
    if ((await options.hashFile()) === inForce.contentHash) return;
    const fresh = await options.load();
    try {
      // Between the two reads the old content may have come back.
      if (fresh.contentHash === inForce.contentHash) {
        fresh.close();
        return;
      }
      await becomesHealthy(fresh);
    } catch (error) {
      fresh.close();
      throw error;
    }
    if (closed) {
      fresh.close();
      return;
    }
    const old = inForce;
    inForce = fresh;
    retire(old);
    metrics.reloaded('success');
    metrics.configInForce(fresh.contentHash);
    logger.info({ file, contentHash: fresh.contentHash }, 'the changed encryption configuration is in force');
  };

  const poll = (): Promise<void> => {
    underWay ??= replace()
      .catch((error: unknown) => {
        if (closed) return;
        metrics.reloaded('failure');
        logger.error(
          { file, reason: errorMessage(error) },
          'the changed encryption configuration is not put in force, the old one stays',
        );
      })
      .finally(() => {
        underWay = undefined;
      });
    return underWay;
  };

  const pollLater = (): void => {
    if (closed) return;
    cancelPoll = clock.schedule(RELOAD_POLL_MS, () => void poll().finally(pollLater));
  };
  pollLater();

  return {
    current: () => inForce,
    poll,
    close() {
      closed = true;
      cancelPoll();
      for (const closeNow of retiring) closeNow();
      inForce.close();
    },
  };
}
