/**
 * The loop that keeps a KMS v2 write state alive: Status every minute while the plugin is healthy, every ten seconds
 * after a failure.
 *
 * Source of the times: k8s.io/apiserver `server/options/encryptionconfig`. A state lives three minutes, so after a
 * failure right before a poll there are at least twelve more attempts before writes stop.
 */
import { errorMessage } from '@waxseal/envelope';
import type { Logger } from 'pino';
import type { Clock } from './clock.js';
import type { KmsProbe } from './health.js';

const HEALTHY_POLL_MS = 60_000;
const UNHEALTHY_POLL_MS = 10_000;

/**
 * Checks once, then for ever until `signal` aborts. Resolves after the first check, whatever its outcome: a plugin that
 * comes up after the API server is no error. That check takes no longer than one KMS call and its timeout each for
 * Status and Encrypt.
 */
export async function startPolling(
  probe: KmsProbe,
  clock: Clock,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  let cancel: () => void = () => undefined;
  signal.addEventListener('abort', () => cancel(), { once: true });
  const run = async (): Promise<void> => {
    let delayMs = HEALTHY_POLL_MS;
    try {
      await probe.check();
    } catch (error) {
      delayMs = UNHEALTHY_POLL_MS;
      if (!signal.aborted) {
        logger.error(
          { providerName: probe.providerName, reason: errorMessage(error) },
          'kms plugin failed health check probe',
        );
      }
    }
    if (!signal.aborted) cancel = clock.schedule(delayMs, () => void run());
  };
  await run();
}
