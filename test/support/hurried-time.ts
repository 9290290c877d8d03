/**
 * Preloaded into a server that is tried (`node --import`): what its encryption does every minute it does every 300 ms. Reloading the
 * configuration, and asking KMS plugins, cannot be set otherwise: kube-apiserver has no option for either.
 */
import { systemClock } from '@waxseal/encryption-config';

const MINUTE_MS = 60_000;
const HURRIED_MS = 300;

const inTime = { ...systemClock };

Object.assign(systemClock, {
  schedule: (delayMs: number, run: () => void) =>
    inTime.schedule(delayMs === MINUTE_MS ? HURRIED_MS : delayMs, run),
});
