/**
 * ML-KEM (FIPS 203), which node:crypto does not have on every supported version: keys as DER, the rest by @noble/post-quantum.
 *
 * Private keys are PKCS#8 with the 64-byte seed (d ‖ z) alone, public keys SubjectPublicKeyInfo, both as RFC 9935 lays them out.
 */
import { ml_kem1024, ml_kem512, ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import type { MlKemSpec } from '../keys/key-specs.js';
import { encodeSeedPkcs8, encodeSpki, nistAlgorithm, readSeedPkcs8 } from './seed-der.js';

const SEED_BYTES = 64;

/** id-alg-ml-kem-512, -768 and -1024 are 2.16.840.1.101.3.4.4.1 to .3. */
const PARAMETER_SETS = {
  ML_KEM_512: { scheme: ml_kem512, algorithm: nistAlgorithm([4, 0x01]), ciphertextBytes: 768 },
  ML_KEM_768: { scheme: ml_kem768, algorithm: nistAlgorithm([4, 0x02]), ciphertextBytes: 1088 },
  ML_KEM_1024: { scheme: ml_kem1024, algorithm: nistAlgorithm([4, 0x03]), ciphertextBytes: 1568 },
} as const;

export interface MlKemKey {
  readonly kind: 'ml-kem';
  readonly spec: MlKemSpec;
  readonly secretKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** @returns PKCS#8 DER, 86 bytes */
export function createMlKemPkcs8(spec: MlKemSpec, randomBytes: (size: number) => Buffer): Buffer {
  const seed = Buffer.from(randomBytes(SEED_BYTES));
  const pkcs8 = encodeSeedPkcs8(PARAMETER_SETS[spec].algorithm, seed);
  seed.fill(0);
  return pkcs8;
}

/** Undefined when it is anything but the seed form of this parameter set. */
export function parseMlKemPkcs8(spec: MlKemSpec, pkcs8: Buffer): MlKemKey | undefined {
  const { algorithm, scheme } = PARAMETER_SETS[spec];
  const seed = readSeedPkcs8(algorithm, SEED_BYTES, pkcs8);
  return seed && { kind: 'ml-kem', spec, ...scheme.keygen(seed) };
}

export function mlKemSpki({ spec, publicKey }: MlKemKey): Buffer {
  return encodeSpki(PARAMETER_SETS[spec].algorithm, publicKey);
}

export interface EncapsulatedSecret {
  /** 32 bytes; the caller zeroes it. */
  readonly sharedSecret: Buffer;
  readonly ciphertext: Buffer;
}

export function encapsulateMlKem(
  { spec, publicKey }: MlKemKey,
  randomBytes: (size: number) => Buffer,
): EncapsulatedSecret {
  const { cipherText, sharedSecret } = PARAMETER_SETS[spec].scheme.encapsulate(publicKey, randomBytes(32));
  return { sharedSecret: Buffer.from(sharedSecret), ciphertext: Buffer.from(cipherText) };
}

/**
 * 32 bytes for every ciphertext of the right length, also for one of another key: implicit rejection (FIPS 203 §6.3).
 *
 * @returns undefined when the length is not this parameter set's
 */
export function decapsulateMlKem({ spec, secretKey }: MlKemKey, ciphertext: Buffer): Buffer | undefined {
  const { scheme, ciphertextBytes } = PARAMETER_SETS[spec];
  if (ciphertext.length !== ciphertextBytes) return undefined;
  return Buffer.from(scheme.decapsulate(ciphertext, secretKey));
}
