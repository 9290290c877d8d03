/**
 * The health of one KMS plugin as the API server's probes ask for it: answers are kept for a while, and probes that
 * come at once share a call.
 *
 * Source of the times: k8s.io/apiserver `server/options/encryptionconfig` (kmsPluginHealthz*TTL).
 */
import type { Clock } from './clock.js';

const HEALTHY_TTL_MS = 20_000;
const UNHEALTHY_TTL_MS = 3000;

/** One plugin that can be asked whether it works. */
export interface KmsProbe {
  readonly providerName: string;
  /** Rejects with why the plugin is not healthy. */
  readonly check: () => Promise<void>;
}

type Outcome = { readonly error?: unknown; readonly receivedMs: number };

/** @param ask asks the plugin itself; rejects when it is not healthy */
export function createCachedCheck(ask: () => Promise<void>, clock: Clock): () => Promise<void> {
  let last: Outcome | undefined;
  let underWay: Promise<Outcome> | undefined;
  const askNow = async (): Promise<Outcome> => {
    try {
      await ask();
      last = { receivedMs: clock.monotonicMs() };
    } catch (error) {
      last = { error, receivedMs: clock.monotonicMs() };
    }
    underWay = undefined;
    return last;
  };
  return async () => {
    const fresh =
      last !== undefined &&
      clock.monotonicMs() - last.receivedMs < ('error' in last ? UNHEALTHY_TTL_MS : HEALTHY_TTL_MS);
    const outcome = fresh ? last : await (underWay ??= askNow());
    if (outcome !== undefined && 'error' in outcome) throw outcome.error;
  };
}
