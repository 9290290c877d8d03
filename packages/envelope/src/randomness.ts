/**
 * Randomness in small pieces.
 *
 * A call into the system's generator costs more than sealing a small value does, so nonces are cut from one larger
 * draw. Only bytes that become public (nonces, IVs, HKDF info) come from the pool; keys and seeds are drawn alone.
 */

/** `sizeBytes` fresh, uniformly random, unpredictable bytes; `node:crypto`'s `randomBytes` outside of tests. */
export type RandomBytes = (sizeBytes: number) => Buffer;

/** Writes fresh random bytes over `target[start, end)`. */
export type RandomFill = (target: Buffer, start: number, end: number) => void;

const DEFAULT_POOL_BYTES = 8192;

/** A fill that draws `poolBytes` at a time. No byte is ever given out twice. */
export function createRandomFill(randomBytes: RandomBytes, poolBytes = DEFAULT_POOL_BYTES): RandomFill {
  let pool: Buffer = Buffer.alloc(0);
  let offset = 0;
  return (target, start, end) => {
    const size = end - start;
    if (offset + size > pool.length) {
      pool = randomBytes(Math.max(poolBytes, size));
      offset = 0;
    }
    pool.copy(target, start, offset, offset + size);
    offset += size;
  };
}

/** A version 4 UUID (RFC 9562 §5.4), which names one call to a KMS in the logs of both sides. */
export function newRequestUid(randomBytes: RandomBytes): string {
  const bytes = Buffer.from(randomBytes(16));
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
