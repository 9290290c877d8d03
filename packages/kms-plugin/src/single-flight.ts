/**
 * Equal Decrypts at the same time cost one call to the backend.
 *
 * An API server that starts cold asks for the same few DEK sources from many requests at once.
 */
import type { Clock } from './clock.js';
import type { Deadline } from './deadline.js';
import { ProviderError } from './errors.js';

interface Flight {
  readonly result: Promise<Buffer>;
  readonly endMs: number;
  waiters: number;
}

export interface SingleFlight {
  /**
   * Joins the flight of this key, or starts one. Every caller owns the Buffer it gets, and waits no longer than its
   * deadline.
   *
   * @param start begins the one call; it ends by itself within the longest of all deadlines
   * @returns `shared` tells whether the call was saved
   */
  run(
    key: string,
    start: () => Promise<Buffer>,
    deadline: Deadline,
  ): { readonly result: Promise<Buffer>; readonly shared: boolean };
}

/** @param longestMs how long a flight takes at most */
export function createSingleFlight(clock: Clock, longestMs: number): SingleFlight {
  const flights = new Map<string, Flight>();

  /** Each waiter does this once: the last one takes the original, so that no copy is left that nobody overwrites. */
  const take = (flight: Flight, bytes: Buffer): Buffer => {
    flight.waiters -= 1;
    return flight.waiters === 0 ? bytes : Buffer.from(bytes);
  };
  const land = async (flight: Flight): Promise<Buffer> => take(flight, await flight.result);

  const landBefore = (flight: Flight, deadline: Deadline): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      let late = false;
      const cancel = clock.after(deadline.timeoutMs, () => {
        late = true;
        reject(new ProviderError('timeout', deadline.failure));
      });
      flight.result.then(
        (bytes) => {
          cancel();
          const own = take(flight, bytes);
          if (late) own.fill(0);
          else resolve(own);
          return undefined;
        },
        (error: unknown) => {
          cancel();
          reject(error);
        },
      );
    });

  return {
    run: (key, start, deadline) => {
      const standing = flights.get(key);
      const flight: Flight = standing ?? {
        waiters: 0,
        endMs: clock.nowMs() + longestMs,
        result: start().finally(() => flights.delete(key)),
      };
      if (standing === undefined) flights.set(key, flight);
      flight.waiters += 1;
      const timely = clock.nowMs() + deadline.timeoutMs >= flight.endMs;
      return {
        result: timely ? land(flight) : landBefore(flight, deadline),
        shared: standing !== undefined,
      };
    },
  };
}
