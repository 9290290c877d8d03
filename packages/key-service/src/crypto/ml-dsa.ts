/**
 * ML-DSA (FIPS 204), which node:crypto does not have on every supported version: keys as DER, signatures by @noble/post-quantum.
 *
 * Private keys are PKCS#8 with the 32-byte seed alone, public keys SubjectPublicKeyInfo, both as RFC 9881 lays them out. The context
 * of a signature is empty, as AWS KMS's is.
 */
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js';
import type { MlDsaSpec } from '../keys/key-specs.js';
import { encodeSeedPkcs8, encodeSpki, nistAlgorithm, readSeedPkcs8 } from './seed-der.js';

const SEED_BYTES = 32;

/** FIPS 204 §6.2: the message representative μ. */
export const MU_BYTES = 64;

/** id-ml-dsa-44, -65 and -87 are 2.16.840.1.101.3.4.3.17 to .19; their AlgorithmIdentifier has no parameters. */
const PARAMETER_SETS = {
  ML_DSA_44: { scheme: ml_dsa44, algorithm: nistAlgorithm([3, 0x11]) },
  ML_DSA_65: { scheme: ml_dsa65, algorithm: nistAlgorithm([3, 0x12]) },
  ML_DSA_87: { scheme: ml_dsa87, algorithm: nistAlgorithm([3, 0x13]) },
} as const;

export interface MlDsaKey {
  readonly kind: 'ml-dsa';
  readonly spec: MlDsaSpec;
  readonly secretKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** @returns PKCS#8 DER, 54 bytes */
export function createMlDsaPkcs8(spec: MlDsaSpec, randomBytes: (size: number) => Buffer): Buffer {
  const seed = Buffer.from(randomBytes(SEED_BYTES));
  const pkcs8 = encodeSeedPkcs8(PARAMETER_SETS[spec].algorithm, seed);
  seed.fill(0);
  return pkcs8;
}

/** Undefined when it is anything but the seed form of this parameter set. */
export function parseMlDsaPkcs8(spec: MlDsaSpec, pkcs8: Buffer): MlDsaKey | undefined {
  const { algorithm, scheme } = PARAMETER_SETS[spec];
  const seed = readSeedPkcs8(algorithm, SEED_BYTES, pkcs8);
  return seed && { kind: 'ml-dsa', spec, ...scheme.keygen(seed) };
}

export function mlDsaSpki({ spec, publicKey }: MlDsaKey): Buffer {
  return encodeSpki(PARAMETER_SETS[spec].algorithm, publicKey);
}

/** @param externalMu `message` is the 64-byte μ itself (FIPS 204 §6.2) */
export function signMlDsa(
  { spec, secretKey }: MlDsaKey,
  message: Buffer,
  externalMu: boolean,
  entropy: Buffer,
): Buffer {
  const { scheme } = PARAMETER_SETS[spec];
  const options = { extraEntropy: entropy };
  return Buffer.from(
    externalMu
      ? scheme.internal.sign(message, secretKey, { ...options, externalMu })
      : scheme.sign(message, secretKey, options),
  );
}

/** @param externalMu as for signMlDsa */
export function verifyMlDsa(
  { spec, publicKey }: MlDsaKey,
  message: Buffer,
  externalMu: boolean,
  signature: Buffer,
): boolean {
  const { scheme } = PARAMETER_SETS[spec];
  if (signature.length !== scheme.lengths.signature) return false;
  return externalMu
    ? scheme.internal.verify(signature, message, publicKey, { externalMu })
    : scheme.verify(signature, message, publicKey);
}
