/**
 * ECDSA (FIPS 186-5 §6) over a digest, by @noble/curves: node:crypto signs only messages it hashes itself.
 *
 * Signatures are DER (RFC 3279 §2.2.3) and not normalised to low S, as AWS KMS's are not.
 */
import { p256, p384, p521 } from '@noble/curves/nist.js';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import type { EcSpec } from '../keys/key-specs.js';
import type { EcKey } from './private-key.js';

const CURVES = {
  ECC_NIST_P256: p256,
  ECC_NIST_P384: p384,
  ECC_NIST_P521: p521,
  ECC_SECG_P256K1: secp256k1,
} as const satisfies Record<EcSpec, unknown>;

const DIGEST = { prehash: false, format: 'der', lowS: false } as const;

/** @param entropy mixed into the nonce of RFC 6979 (§3.6), so that a fault does not repeat one */
export function signDigest({ spec, privateKey }: EcKey, digest: Buffer, entropy: Buffer): Buffer {
  const sec1 = privateKey.export({ type: 'sec1', format: 'der' });
  try {
    return Buffer.from(CURVES[spec].sign(digest, privateScalar(sec1), { ...DIGEST, extraEntropy: entropy }));
  } finally {
    sec1.fill(0);
  }
}

/** False, too, for bytes that are no signature. */
export function verifyDigest({ spec, publicKey }: EcKey, digest: Buffer, signature: Buffer): boolean {
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const point = Buffer.concat([
    Buffer.from([0x04]),
    Buffer.from(x, 'base64url'),
    Buffer.from(y, 'base64url'),
  ]);
  try {
    return CURVES[spec].verify(signature, digest, point, DIGEST);
  } catch {
    return false;
  }
}

/** ECPrivateKey (RFC 5915 §3) is SEQUENCE { INTEGER 1, OCTET STRING scalar, … }; the scalar has the curve's full length. */
function privateScalar(sec1: Buffer): Buffer {
  const versionAt = sec1.readUInt8(1) < 0x80 ? 2 : 3;
  // INTEGER 1 is three bytes, then the tag of the OCTET STRING, then its length.
  const lengthAt = versionAt + 4;
  return sec1.subarray(lengthAt + 1, lengthAt + 1 + sec1.readUInt8(lengthAt));
}
