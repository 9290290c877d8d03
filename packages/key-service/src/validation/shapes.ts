/**
 * The shapes several operations share, with the constraints of AWS's KMS model (2014-11-01).
 */
import {
  blob,
  boolean,
  enumeration,
  integer,
  list,
  presence,
  required,
  secretString,
  string,
  stringMap,
  structure,
} from './members.js';

// `\\p{ASCII}` of Java, the service's language: any of the 128.
// oxlint-disable-next-line no-control-regex
const ASCII = /^[\u0000-\u007F]+$/;
export const keyId = string({ min: 1, max: 2048, pattern: ASCII, patternText: '^\\p{ASCII}+$' });

const ALIAS_PATTERN = '^[a-zA-Z0-9:/_-]+$';
export const aliasName = string({
  min: 1,
  max: 256,
  pattern: new RegExp(ALIAS_PATTERN),
  patternText: ALIAS_PATTERN,
});

export const plaintext = blob({ min: 1, max: 4096, sensitive: true });
export const ciphertextBlob = blob({ min: 1, max: 6144, sensitive: 'when-present' });

/** KMS quota: an encryption context of 8 KiB, keys and values together. */
export const encryptionContext = stringMap(8192);

export const grantTokens = list(string({ min: 1, max: 8192 }), 0, 10);
export const dryRun = boolean;
export const dryRunModifier = enumeration(['IGNORE_CIPHERTEXT']);

export const limit = integer(1, 1000);
export const marker = string({
  min: 1,
  max: 1024,
  pattern: /^[\u0020-\u00FF]*$/,
  patternText: '[\\u0020-\\u00FF]*',
});

export const description = string({ max: 8192 });
// The model allows tab, line feed and carriage return: a policy is a text of lines.
// oxlint-disable-next-line no-control-regex
const POLICY_PATTERN = /^[\u0009\u000A\u000D\u0020-\u00FF]+$/;
export const policy = string({
  min: 1,
  max: 131_072,
  pattern: POLICY_PATTERN,
  patternText: '[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+',
});
export const policyName = string({ min: 1, max: 128, pattern: /^\w+$/, patternText: '[\\w]+' });

export const tagKey = string({ min: 1, max: 128 });
export const tag = structure({ TagKey: required(tagKey), TagValue: required(string({ max: 256 })) });

export const numberOfBytes = integer(1, 1024);

// Values in the order recorded refusals print them. Those the API gained since a recording are accepted and not printed.
export const encryptionAlgorithm = enumeration([
  'RSAES_OAEP_SHA_1',
  'RSAES_OAEP_SHA_256',
  'SM2PKE',
  'SYMMETRIC_DEFAULT',
]);
/** The service prints the specs of KMS keys when it refuses one of a data key, and takes none of them. */
export const dataKeySpec = enumeration(['AES_256', 'AES_128'], {
  printed: [
    'RSA_2048',
    'RSA_3072',
    'RSA_4096',
    'ECC_NIST_P256',
    'ECC_NIST_P384',
    'ECC_NIST_P521',
    'ECC_SECG_P256K1',
    'ECC_NIST_EDWARDS25519',
    'SYMMETRIC_DEFAULT',
    'HMAC_224',
    'HMAC_256',
    'HMAC_384',
    'HMAC_512',
    'SM2',
    'ML_DSA_44',
    'ML_DSA_65',
    'ML_DSA_87',
  ],
});
export const keyUsage = enumeration(
  ['ENCRYPT_DECRYPT', 'SIGN_VERIFY', 'GENERATE_VERIFY_MAC', 'KEY_AGREEMENT', 'ENCAPSULATE_DECAPSULATE'],
  { printed: ['ENCRYPT_DECRYPT', 'SIGN_VERIFY', 'GENERATE_VERIFY_MAC'] },
);
const recordedKeySpecs = [
  'RSA_2048',
  'ECC_NIST_P384',
  'ECC_NIST_P256',
  'ECC_NIST_P521',
  'HMAC_384',
  'RSA_3072',
  'ECC_SECG_P256K1',
  'RSA_4096',
  'SYMMETRIC_DEFAULT',
  'HMAC_256',
  'HMAC_224',
  'HMAC_512',
] as const;
export const keySpec = enumeration(
  [
    ...recordedKeySpecs,
    'SM2',
    'ML_DSA_44',
    'ML_DSA_65',
    'ML_DSA_87',
    'ECC_NIST_EDWARDS25519',
    'ML_KEM_512',
    'ML_KEM_768',
    'ML_KEM_1024',
  ],
  { printed: recordedKeySpecs },
);
/** CustomerMasterKeySpec is deprecated and has none of the specs that came after it. */
export const customerMasterKeySpec = enumeration([...recordedKeySpecs, 'SM2'], { printed: recordedKeySpecs });
export const dataKeyPairSpec = enumeration([
  'RSA_2048',
  'RSA_3072',
  'RSA_4096',
  'ECC_NIST_P256',
  'ECC_NIST_P384',
  'ECC_NIST_P521',
  'ECC_SECG_P256K1',
  'SM2',
  'ECC_NIST_EDWARDS25519',
  'ML_KEM_512',
  'ML_KEM_768',
  'ML_KEM_1024',
]);
const modelledSigningAlgorithms = [
  'RSASSA_PSS_SHA_256',
  'RSASSA_PSS_SHA_384',
  'RSASSA_PSS_SHA_512',
  'RSASSA_PKCS1_V1_5_SHA_256',
  'RSASSA_PKCS1_V1_5_SHA_384',
  'RSASSA_PKCS1_V1_5_SHA_512',
  'ECDSA_SHA_256',
  'ECDSA_SHA_384',
  'ECDSA_SHA_512',
  'ED25519_SHA_512',
  'ED25519_PH_SHA_512',
  'SM2DSA',
  'ML_DSA_SHAKE_256',
] as const;
/** SYMMETRIC_DEFAULT is let through by the service, which then finds that no signing key has it. */
export const signingAlgorithm = enumeration([...modelledSigningAlgorithms, 'SYMMETRIC_DEFAULT'], {
  printed: modelledSigningAlgorithms,
});
export const macAlgorithm = enumeration(['HMAC_SHA_384', 'HMAC_SHA_256', 'HMAC_SHA_224', 'HMAC_SHA_512']);
export const keyAgreementAlgorithm = enumeration(['ECDH']);
export const encapsulationAlgorithm = enumeration(['ML_KEM']);
export const sharedSecretCiphertext = blob({ min: 1, max: 6144, sensitive: 'when-present' });
export const messageType = enumeration(['RAW', 'DIGEST', 'EXTERNAL_MU']);
export const message = blob({ min: 1, max: 4096, sensitive: true });
export const signature = blob({ min: 1, max: 6144, sensitive: 'when-present' });
export const mac = blob({ min: 1, max: 6144, sensitive: 'when-present' });
export const publicKey = blob({ min: 1, max: 8192, sensitive: 'when-present' });
export const origin = enumeration(['AWS_KMS', 'EXTERNAL', 'AWS_CLOUDHSM', 'EXTERNAL_KEY_STORE']);

export const customKeyStoreId = string({ min: 1, max: 64 });
export const customKeyStoreName = string({ min: 1, max: 256 });
export const cloudHsmClusterId = string({ min: 19, max: 24 });
/** Read as bytes, because audit records leave it out. */
export const trustAnchorCertificate = secretString({ min: 1, max: 5000 });
export const keyStorePassword = secretString({ min: 7, max: 32 });
/** PKCS11 is ours. */
export const customKeyStoreType = enumeration(['AWS_CLOUDHSM', 'EXTERNAL_KEY_STORE', 'PKCS11'], {
  printed: ['EXTERNAL_KEY_STORE', 'AWS_CLOUDHSM'],
});
/** Of external key stores, which there are none here. */
export const xksMember = presence;

/** Attestation documents of Nitro enclaves: read so that their presence can be refused by name. */
export const recipient = structure({
  KeyEncryptionAlgorithm: enumeration(['RSAES_OAEP_SHA_256']),
  AttestationDocument: blob({ min: 1, max: 262_144 }),
});
