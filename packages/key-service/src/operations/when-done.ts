/** What a vault answers at once and a token later, handled alike: the common case costs no turn of the event loop. */

/** @param failed called when `value` is rejected */
export function whenDone<T, U>(
  value: T | Promise<T>,
  use: (value: T) => U,
  failed?: () => void,
): U | Promise<U> {
  if (!(value instanceof Promise)) return use(value);
  return value.then(use, (error: unknown) => {
    failed?.();
    throw error;
  });
}
