/**
 * New key material of every spec: raw bytes for symmetric and HMAC keys, PKCS#8 DER for key pairs.
 *
 * RSA keys are searched for on libuv's threads, which also write the audit log and hash: only some of them at a time may search.
 */
import { isAsymmetric, type KeySpec, secretKeyBytes } from '../keys/key-specs.js';
import { createPkcs8 } from './private-key.js';

/** The caller owns the bytes and zeroes them. */
export type KeyGenerator = (spec: KeySpec) => Promise<Buffer>;

/** libuv has four threads unless told otherwise. */
const MAX_CONCURRENT_SEARCHES = 2;

export function createKeyGenerator(randomBytes: (size: number) => Buffer): KeyGenerator {
  let searching = 0;
  const waiting: (() => void)[] = [];
  return async (spec) => {
    if (!isAsymmetric(spec)) return Buffer.from(randomBytes(secretKeyBytes(spec)));
    if (searching >= MAX_CONCURRENT_SEARCHES) {
      // Whoever finishes hands its place on, so `searching` stays as it is.
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else {
      searching++;
    }
    try {
      return await createPkcs8(spec, randomBytes);
    } finally {
      const next = waiting.shift();
      if (next === undefined) searching--;
      else next();
    }
  };
}
