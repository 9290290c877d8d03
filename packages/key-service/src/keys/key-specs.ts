/**
 * What each key spec is for: the usages a key of it may have, and the algorithms each usage offers.
 *
 * Source of the rule: KMS API reference, CreateKey (KeySpec, KeyUsage), and KMS Developer Guide, "Key spec reference". The order
 * of algorithms is the one DescribeKey and GetPublicKey answer.
 */

export const KEY_USAGES = [
  'ENCRYPT_DECRYPT',
  'SIGN_VERIFY',
  'GENERATE_VERIFY_MAC',
  'KEY_AGREEMENT',
  'ENCAPSULATE_DECAPSULATE',
] as const;
export type KeyUsage = (typeof KEY_USAGES)[number];

export type EncryptionAlgorithm = 'SYMMETRIC_DEFAULT' | RsaEncryptionAlgorithm;
export type RsaEncryptionAlgorithm = 'RSAES_OAEP_SHA_1' | 'RSAES_OAEP_SHA_256';

export type RsaSpec = 'RSA_2048' | 'RSA_3072' | 'RSA_4096';
export type NistCurveSpec = 'ECC_NIST_P256' | 'ECC_NIST_P384' | 'ECC_NIST_P521';
export type EcSpec = NistCurveSpec | 'ECC_SECG_P256K1';
export type EdwardsSpec = 'ECC_NIST_EDWARDS25519';
export type MlDsaSpec = 'ML_DSA_44' | 'ML_DSA_65' | 'ML_DSA_87';
export type MlKemSpec = 'ML_KEM_512' | 'ML_KEM_768' | 'ML_KEM_1024';
type HmacSpec = 'HMAC_224' | 'HMAC_256' | 'HMAC_384' | 'HMAC_512';
export type AsymmetricSpec = RsaSpec | EcSpec | EdwardsSpec | MlDsaSpec | MlKemSpec;
export type KeySpec = 'SYMMETRIC_DEFAULT' | HmacSpec | AsymmetricSpec;

export type MacAlgorithm = 'HMAC_SHA_224' | 'HMAC_SHA_256' | 'HMAC_SHA_384' | 'HMAC_SHA_512';

export type SigningAlgorithm =
  | 'RSASSA_PSS_SHA_256'
  | 'RSASSA_PSS_SHA_384'
  | 'RSASSA_PSS_SHA_512'
  | 'RSASSA_PKCS1_V1_5_SHA_256'
  | 'RSASSA_PKCS1_V1_5_SHA_384'
  | 'RSASSA_PKCS1_V1_5_SHA_512'
  | 'ECDSA_SHA_256'
  | 'ECDSA_SHA_384'
  | 'ECDSA_SHA_512'
  | 'ED25519_SHA_512'
  | 'ED25519_PH_SHA_512'
  | 'ML_DSA_SHAKE_256';

/** One row per usage a spec allows; the members are those of KeyMetadata. */
interface SpecRow {
  readonly ENCRYPT_DECRYPT?: { readonly EncryptionAlgorithms: readonly EncryptionAlgorithm[] };
  readonly SIGN_VERIFY?: { readonly SigningAlgorithms: readonly SigningAlgorithm[] };
  readonly GENERATE_VERIFY_MAC?: { readonly MacAlgorithms: readonly MacAlgorithm[] };
  readonly KEY_AGREEMENT?: { readonly KeyAgreementAlgorithms: readonly 'ECDH'[] };
  readonly ENCAPSULATE_DECAPSULATE?: { readonly EncapsulationAlgorithms: readonly 'ML_KEM'[] };
}

const rsa: SpecRow = {
  ENCRYPT_DECRYPT: { EncryptionAlgorithms: ['RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256'] },
  SIGN_VERIFY: {
    SigningAlgorithms: [
      'RSASSA_PKCS1_V1_5_SHA_256',
      'RSASSA_PKCS1_V1_5_SHA_384',
      'RSASSA_PKCS1_V1_5_SHA_512',
      'RSASSA_PSS_SHA_256',
      'RSASSA_PSS_SHA_384',
      'RSASSA_PSS_SHA_512',
    ],
  },
};
const nistCurve = (algorithm: SigningAlgorithm): SpecRow => ({
  SIGN_VERIFY: { SigningAlgorithms: [algorithm] },
  KEY_AGREEMENT: { KeyAgreementAlgorithms: ['ECDH'] },
});
const signing = (...algorithms: readonly SigningAlgorithm[]): SpecRow => ({
  SIGN_VERIFY: { SigningAlgorithms: algorithms },
});
const encapsulation: SpecRow = { ENCAPSULATE_DECAPSULATE: { EncapsulationAlgorithms: ['ML_KEM'] } };
const hmac = (algorithm: MacAlgorithm): SpecRow => ({ GENERATE_VERIFY_MAC: { MacAlgorithms: [algorithm] } });

const SPECS: Readonly<Record<KeySpec, SpecRow>> = {
  SYMMETRIC_DEFAULT: { ENCRYPT_DECRYPT: { EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'] } },
  RSA_2048: rsa,
  RSA_3072: rsa,
  RSA_4096: rsa,
  ECC_NIST_P256: nistCurve('ECDSA_SHA_256'),
  ECC_NIST_P384: nistCurve('ECDSA_SHA_384'),
  ECC_NIST_P521: nistCurve('ECDSA_SHA_512'),
  ECC_SECG_P256K1: signing('ECDSA_SHA_256'),
  ECC_NIST_EDWARDS25519: signing('ED25519_SHA_512', 'ED25519_PH_SHA_512'),
  ML_DSA_44: signing('ML_DSA_SHAKE_256'),
  ML_DSA_65: signing('ML_DSA_SHAKE_256'),
  ML_DSA_87: signing('ML_DSA_SHAKE_256'),
  ML_KEM_512: encapsulation,
  ML_KEM_768: encapsulation,
  ML_KEM_1024: encapsulation,
  HMAC_224: hmac('HMAC_SHA_224'),
  HMAC_256: hmac('HMAC_SHA_256'),
  HMAC_384: hmac('HMAC_SHA_384'),
  HMAC_512: hmac('HMAC_SHA_512'),
};

export function isKeySpec(name: string): name is KeySpec {
  return Object.hasOwn(SPECS, name);
}

export function allowsUsage(spec: KeySpec, usage: KeyUsage): boolean {
  return SPECS[spec][usage] !== undefined;
}

/** The algorithms of one usage, under the name KeyMetadata gives them: `{SigningAlgorithms: […]}`. */
export function algorithmsOf(spec: KeySpec, usage: KeyUsage): Readonly<Record<string, readonly string[]>> {
  return { ...SPECS[spec][usage] };
}

export function offersAlgorithm(spec: KeySpec, usage: KeyUsage, algorithm: string): boolean {
  return Object.values(algorithmsOf(spec, usage)).some((algorithms) => algorithms.includes(algorithm));
}

export function isAsymmetric(spec: KeySpec): spec is AsymmetricSpec {
  return spec !== 'SYMMETRIC_DEFAULT' && !spec.startsWith('HMAC_');
}

const SECRET_KEY_BYTES: Readonly<Record<Exclude<KeySpec, AsymmetricSpec>, number>> = {
  SYMMETRIC_DEFAULT: 32,
  HMAC_224: 28,
  HMAC_256: 32,
  HMAC_384: 48,
  HMAC_512: 64,
};

/** Length of a key that is bytes and nothing else. HMAC keys are as long as their output. */
export function secretKeyBytes(spec: Exclude<KeySpec, AsymmetricSpec>): number {
  return SECRET_KEY_BYTES[spec];
}
