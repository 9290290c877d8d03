/**
 * Asymmetric keys: made, read from PKCS#8, opened for use, their public half as SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
 *
 * Where node:crypto can do an operation it does it on the KeyObject; the key's bytes are taken out of it only for what it
 * cannot do (signing a digest), and zeroed afterwards.
 */
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type {
  AsymmetricSpec,
  EcSpec,
  EdwardsSpec,
  MlDsaSpec,
  MlKemSpec,
  RsaSpec,
} from '../keys/key-specs.js';
import { createMlDsaPkcs8, type MlDsaKey, mlDsaSpki, parseMlDsaPkcs8 } from './ml-dsa.js';
import { createMlKemPkcs8, type MlKemKey, mlKemSpki, parseMlKemPkcs8 } from './ml-kem.js';

interface KeyObjects {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export interface RsaKey extends KeyObjects {
  readonly kind: 'rsa';
  readonly spec: RsaSpec;
  /** Of the modulus: also the length of a signature and of a ciphertext. */
  readonly modulusBytes: number;
}

export interface EcKey extends KeyObjects {
  readonly kind: 'ec';
  readonly spec: EcSpec;
}

export interface Ed25519Key extends KeyObjects {
  readonly kind: 'ed25519';
  readonly spec: EdwardsSpec;
}

export type PrivateKey = RsaKey | EcKey | Ed25519Key | MlDsaKey | MlKemKey;

const MODULUS_BITS: Readonly<Record<RsaSpec, number>> = { RSA_2048: 2048, RSA_3072: 3072, RSA_4096: 4096 };

/** OpenSSL's names of the curves, as KeyObjects tell them. */
export const CURVES: Readonly<Record<EcSpec, string>> = {
  ECC_NIST_P256: 'prime256v1',
  ECC_NIST_P384: 'secp384r1',
  ECC_NIST_P521: 'secp521r1',
  ECC_SECG_P256K1: 'secp256k1',
};

const PKCS8 = { type: 'pkcs8', format: 'der' } as const;
const SPKI = { type: 'spki', format: 'der' } as const;

const generate = promisify(generateKeyPair);

/**
 * A new key as PKCS#8 DER. RSA keys take up to seconds; they are made on libuv's threads, not on the caller's.
 *
 * @param randomBytes for what node:crypto does not make itself (the seeds of ML-DSA and ML-KEM)
 */
export async function createPkcs8(
  spec: AsymmetricSpec,
  randomBytes: (size: number) => Buffer,
): Promise<Buffer> {
  if (isMlDsa(spec)) return createMlDsaPkcs8(spec, randomBytes);
  if (isMlKem(spec)) return createMlKemPkcs8(spec, randomBytes);
  const { privateKey } = isRsa(spec)
    ? await generate('rsa', { modulusLength: MODULUS_BITS[spec], publicExponent: 65_537 })
    : spec === 'ECC_NIST_EDWARDS25519'
      ? await generate('ed25519')
      : await generate('ec', { namedCurve: CURVES[spec] });
  return privateKey.export(PKCS8);
}

function isRsa(spec: AsymmetricSpec): spec is RsaSpec {
  return spec.startsWith('RSA_');
}

function isMlDsa(spec: AsymmetricSpec): spec is MlDsaSpec {
  return spec.startsWith('ML_DSA_');
}

function isMlKem(spec: AsymmetricSpec): spec is MlKemSpec {
  return spec.startsWith('ML_KEM_');
}

/**
 * Total: undefined for every PKCS#8 that is not a whole key of exactly this spec, wherever it comes from.
 *
 * @param pkcs8 DER, unencrypted; not kept
 */
export function parsePrivateKey(spec: AsymmetricSpec, pkcs8: Buffer): PrivateKey | undefined {
  if (isMlDsa(spec)) return parseMlDsaPkcs8(spec, pkcs8);
  if (isMlKem(spec)) return parseMlKemPkcs8(spec, pkcs8);
  let keys: KeyObjects;
  try {
    const privateKey = createPrivateKey({ key: pkcs8, ...PKCS8 });
    keys = { privateKey, publicKey: createPublicKey(privateKey) };
  } catch {
    return undefined;
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details = {} } = keys.privateKey;
  if (isRsa(spec)) {
    return type === 'rsa' && details.modulusLength === MODULUS_BITS[spec]
      ? { kind: 'rsa', spec, modulusBytes: MODULUS_BITS[spec] / 8, ...keys }
      : undefined;
  }
  if (spec === 'ECC_NIST_EDWARDS25519') {
    return type === 'ed25519' ? { kind: 'ed25519', spec, ...keys } : undefined;
  }
  return type === 'ec' && details.namedCurve === CURVES[spec] ? { kind: 'ec', spec, ...keys } : undefined;
}

/** The public key as SubjectPublicKeyInfo, DER. */
export function exportPublicKey(key: PrivateKey): Buffer {
  if (key.kind === 'ml-dsa') return mlDsaSpki(key);
  return key.kind === 'ml-kem' ? mlKemSpki(key) : key.publicKey.export(SPKI);
}
