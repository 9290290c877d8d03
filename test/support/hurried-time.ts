/**
 * Preloaded into a server that is tried (`node --import`): what its encryption does every minute it does every 300 ms. Reloading the
 * configuration, and asking KMS plugins, cannot be set otherwise: kube-apiserver has no option for either. What a plugin answers is kept for 20 s,
 * however often it is asked; so durations are hurried, too.
 */
import { systemClock } from '@waxseal/encryption-config';

const MINUTE_MS = 60_000;
const HURRIED_MS = 300;
/** Not as much as the minute: ten seconds that a plugin has to become healthy in are still half a second. */
const DURATIONS_FASTER = 20;

const inTime = { ...systemClock };

Object.assign(systemClock, {
  monotonicMs: () => inTime.monotonicMs() * DURATIONS_FASTER,
  schedule: (delayMs: number, run: () => void) =>
    inTime.schedule(delayMs === MINUTE_MS ? HURRIED_MS : delayMs, run),
});
