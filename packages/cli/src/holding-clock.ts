/** The clock of runs whose waiting must keep the process: between two tries of an etcd that is away nothing else may be open. */
import { type Clock, systemClock } from '@waxseal/encryption-config';

export const holdingClock: Clock = {
  ...systemClock,
  schedule: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};
