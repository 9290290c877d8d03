/** The public half of an RSA or EC key, from its attributes to a KeyObject. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { Pkcs11Error } from './errors.js';
import type { EcCurve, KeyAttributes } from './token.js';

/** Curves by the DER of their object identifier (RFC 5480 §2.1.1.1, SEC 2). */
const CURVES = {
  'P-256': { der: '06082a8648ce3d030107', bytes: 32 },
  'P-384': { der: '06052b81040022', bytes: 48 },
  'P-521': { der: '06052b81040023', bytes: 66 },
  secp256k1: { der: '06052b8104000a', bytes: 32 },
} as const satisfies Record<EcCurve, { der: string; bytes: number }>;

export function curveParams(curve: EcCurve): Buffer {
  return Buffer.from(CURVES[curve].der, 'hex');
}

export function rsaPublicKey({ modulus, publicExponent }: KeyAttributes): KeyObject {
  if (modulus === undefined || publicExponent === undefined) throw hidden();
  return createPublicKey({
    format: 'jwk',
    key: { kty: 'RSA', n: modulus.toString('base64url'), e: publicExponent.toString('base64url') },
  });
}

export function ecPublicKey({ ecParams, ecPoint }: KeyAttributes): KeyObject {
  if (ecParams === undefined || ecPoint === undefined) throw hidden();
  const crv = curveOf(ecParams);
  const { bytes } = CURVES[crv];
  if (ecPoint.length !== 1 + 2 * bytes || ecPoint[0] !== 0x04) throw hidden();
  return createPublicKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv,
      x: ecPoint.toString('base64url', 1, 1 + bytes),
      y: ecPoint.toString('base64url', 1 + bytes),
    },
  });
}

/** CKA_EC_POINT is the point inside an OCTET STRING (2.40 §2.3.3); some tokens give the bare point. */
export function unwrapEcPoint(value: Buffer): Buffer {
  const bare = Object.values(CURVES).some(({ bytes }) => value.length === 1 + 2 * bytes);
  if (bare || value[0] !== 0x04) return value;
  const short = value[1] ?? 0;
  if (short < 0x80) return value.length === 2 + short ? value.subarray(2) : value;
  // P-521's 133 bytes need the long form: one byte of length.
  return short === 0x81 && value.length === 3 + (value[2] ?? 0) ? value.subarray(3) : value;
}

function curveOf(params: Buffer): EcCurve {
  const hex = params.toString('hex');
  for (const [name, { der }] of Object.entries(CURVES)) if (der === hex) return name as EcCurve;
  throw new Pkcs11Error('mechanism-unsupported', 'The key is on a curve that is not supported here.');
}

function hidden(): Pkcs11Error {
  return new Pkcs11Error(
    'key-not-found',
    'The token does not show the public part of this key. Its public key object must be on the token too.',
  );
}
