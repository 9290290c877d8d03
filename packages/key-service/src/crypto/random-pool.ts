/**
 * Small random values cut from a large one: asking the generator costs the same for 28 bytes as for 8 KiB.
 *
 * For what becomes public in the same answer (salts, nonces), never for keys: bytes not yet handed out lie in memory.
 */

const POOL_BYTES = 8192;

/** @returns as `randomBytes`, for sizes up to 8 KiB; every byte is handed out once */
export function createRandomPool(randomBytes: (size: number) => Buffer): (size: number) => Buffer {
  let pool: Buffer = Buffer.alloc(0);
  let used = 0;
  return (size) => {
    if (used + size > pool.length) {
      pool = randomBytes(POOL_BYTES);
      used = 0;
    }
    const bytes = pool.subarray(used, used + size);
    used += size;
    return bytes;
  };
}
