/** HMAC (RFC 2104, FIPS 198-1) with the SHA-2 functions. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { MacAlgorithm } from '../keys/key-specs.js';

const HASHES: Readonly<Record<MacAlgorithm, string>> = {
  HMAC_SHA_224: 'sha224',
  HMAC_SHA_256: 'sha256',
  HMAC_SHA_384: 'sha384',
  HMAC_SHA_512: 'sha512',
};

export function createMac(key: Buffer, algorithm: MacAlgorithm, message: Buffer): Buffer {
  return createHmac(HASHES[algorithm], key).update(message).digest();
}

export function verifyMac(key: Buffer, algorithm: MacAlgorithm, message: Buffer, mac: Buffer): boolean {
  const expected = createMac(key, algorithm, message);
  return mac.length === expected.length && timingSafeEqual(mac, expected);
}
