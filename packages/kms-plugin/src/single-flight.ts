/**
 * Equal Decrypts at the same time cost one call to the backend.
 *
 * An API server that starts cold asks for the same few DEK sources from many requests at once.
 */

interface Flight {
  readonly result: Promise<Buffer>;
  waiters: number;
}

export interface SingleFlight {
  /**
   * Joins the flight of this key, or starts one. Every caller owns the Buffer it gets.
   *
   * @returns `shared` tells whether the call was saved
   */
  run(
    key: string,
    start: () => Promise<Buffer>,
  ): { readonly result: Promise<Buffer>; readonly shared: boolean };
}

export function createSingleFlight(): SingleFlight {
  const flights = new Map<string, Flight>();

  const land = async (flight: Flight): Promise<Buffer> => {
    const bytes = await flight.result;
    flight.waiters -= 1;
    // The last one takes the original, so that no copy is left that nobody overwrites.
    return flight.waiters === 0 ? bytes : Buffer.from(bytes);
  };

  return {
    run: (key, start) => {
      const standing = flights.get(key);
      if (standing !== undefined) {
        standing.waiters += 1;
        return { result: land(standing), shared: true };
      }
      const flight: Flight = {
        waiters: 1,
        result: start().finally(() => flights.delete(key)),
      };
      flights.set(key, flight);
      return { result: land(flight), shared: false };
    },
  };
}
