/**
 * EMSA-PSS (RFC 8017 §9.1) of a digest: the padding of RSASSA-PSS, for messages that come as their digest.
 *
 * node:crypto pads only messages it hashes itself, and lets the bare RSA operation be called; this is what lies between. Salts are
 * as long as the digest, as in AWS KMS. MGF1 (RFC 8017 §B.2.1) uses the same hash.
 */
import { createHash, timingSafeEqual } from 'node:crypto';

export type PssHash = 'sha256' | 'sha384' | 'sha512';

const PADDING_1 = Buffer.alloc(8);
const TRAILER = 0xbc;

/**
 * §9.1.1, from step 4 on.
 *
 * @param digest mHash
 * @param encodedBytes emLen: bytes of the modulus, whose bits are a multiple of eight
 * @param salt as long as the digest
 */
export function encodePss(hash: PssHash, digest: Buffer, encodedBytes: number, salt: Buffer): Buffer {
  const seed = hashOf(hash, PADDING_1, digest, salt);
  const dbBytes = encodedBytes - seed.length - 1;
  const db = Buffer.alloc(dbBytes);
  db[dbBytes - salt.length - 1] = 0x01;
  salt.copy(db, dbBytes - salt.length);
  mask(hash, seed, db);
  return Buffer.concat([db, seed, Buffer.from([TRAILER])]);
}

/** §9.1.2, from step 3 on: is `encoded` a PSS encoding of `digest` with a salt as long as it? */
export function verifyPss(hash: PssHash, digest: Buffer, encoded: Buffer): boolean {
  const dbBytes = encoded.length - digest.length - 1;
  const saltAt = dbBytes - digest.length;
  if (saltAt < 1 || encoded[encoded.length - 1] !== TRAILER || (encoded.readUInt8(0) & 0x80) !== 0)
    return false;
  const db = Buffer.from(encoded.subarray(0, dbBytes));
  const seed = encoded.subarray(dbBytes, dbBytes + digest.length);
  mask(hash, seed, db);
  if (db[saltAt - 1] !== 0x01 || db.subarray(0, saltAt - 1).some((byte) => byte !== 0)) return false;
  return timingSafeEqual(hashOf(hash, PADDING_1, digest, db.subarray(saltAt)), seed);
}

/** db ⊕ MGF1(seed), in place, with the leftmost bit cleared (emBits is one less than the modulus has). */
function mask(hash: PssHash, seed: Buffer, db: Buffer): void {
  const counter = Buffer.alloc(4);
  for (let at = 0, block = 0; at < db.length; block++) {
    counter.writeUInt32BE(block);
    for (const byte of hashOf(hash, seed, counter)) {
      if (at === db.length) break;
      db[at] = (db[at] as number) ^ byte;
      at++;
    }
  }
  db[0] = (db[0] as number) & 0x7f;
}

function hashOf(hash: PssHash, ...parts: readonly Buffer[]): Buffer {
  const state = createHash(hash);
  for (const part of parts) state.update(part);
  return state.digest();
}
