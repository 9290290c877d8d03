/** Mechanisms of the contract as CK_MECHANISM with its parameters. PKCS#11 Current Mechanisms 2.40 §2. */
import { CKG, CKM, type CkmName, CKZ_DATA_SPECIFIED } from './constants.js';
import { Pkcs11Error } from './errors.js';
import type { NativeMemory } from './native-memory.js';
import type { CipherMechanism, HashName, SignMechanism } from './token.js';

const HASH = {
  sha1: { mechanism: 'CKM_SHA_1', hmac: 'CKM_SHA_1_HMAC', bytes: 20 },
  sha256: { mechanism: 'CKM_SHA256', hmac: 'CKM_SHA256_HMAC', bytes: 32 },
  sha384: { mechanism: 'CKM_SHA384', hmac: 'CKM_SHA384_HMAC', bytes: 48 },
  sha512: { mechanism: 'CKM_SHA512', hmac: 'CKM_SHA512_HMAC', bytes: 64 },
} as const satisfies Record<HashName, { mechanism: CkmName; hmac: CkmName; bytes: number }>;

/** DigestInfo up to the digest itself: RFC 8017 §9.2, note 1. */
const DIGEST_INFO_PREFIX: Readonly<Record<HashName, string>> = {
  sha1: '3021300906052b0e03021a05000414',
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
};

const GCM_IV_BITS = 96;
const GCM_TAG_BITS = 128;
const CBC_IV_BYTES = 16;

/** CK_MECHANISM: type, pointer to the parameters, their length. */
export function mechanism(memory: NativeMemory, name: CkmName, parameters?: Buffer): Buffer {
  return memory.struct(CKM[name], memory.pointer(parameters), parameters?.length ?? 0);
}

/** For C_EncryptInit and C_DecryptInit; key wrapping has mechanisms of its own (wrapMechanismName). */
export function cipherMechanism(
  memory: NativeMemory,
  cipher: Exclude<CipherMechanism, { kind: 'aes-key-wrap' | 'aes-key-wrap-pad' }>,
): Buffer {
  switch (cipher.kind) {
    case 'aes-gcm': {
      if (cipher.iv.length * 8 !== GCM_IV_BITS) throw wrongIv('AES-GCM', GCM_IV_BITS / 8);
      const iv = memory.copy(cipher.iv);
      const aad = memory.copy(cipher.aad);
      // CK_GCM_PARAMS as 2.40 has it: pIv, ulIvLen, ulIvBits, pAAD, ulAADLen, ulTagBits.
      const parameters = memory.struct(
        memory.pointer(iv),
        iv.length,
        GCM_IV_BITS,
        memory.pointer(aad),
        aad.length,
        cipher.tagBits ?? GCM_TAG_BITS,
      );
      return mechanism(memory, 'CKM_AES_GCM', parameters);
    }
    case 'aes-cbc-pad':
      if (cipher.iv.length !== CBC_IV_BYTES) throw wrongIv('AES-CBC', CBC_IV_BYTES);
      return mechanism(memory, 'CKM_AES_CBC_PAD', memory.copy(cipher.iv));
    default: {
      // CK_RSA_PKCS_OAEP_PARAMS: hashAlg, mgf, source, pSourceData, ulSourceDataLen; no label.
      const parameters = memory.struct(
        CKM[HASH[cipher.hash].mechanism],
        CKG[cipher.mgfHash ?? cipher.hash],
        CKZ_DATA_SPECIFIED,
        0,
        0,
      );
      return mechanism(memory, 'CKM_RSA_PKCS_OAEP', parameters);
    }
  }
}

/** Bytes a ciphertext is longer than its plaintext at most; RSA's length is the modulus'. */
export function outputBytes(cipher: CipherMechanism, inputBytes: number): number {
  return cipher.kind === 'rsa-pkcs-oaep' ? MAX_RSA_BYTES : inputBytes + 32;
}

/** RSA up to 16384 bits. */
export const MAX_RSA_BYTES = 2048;

/** For C_SignInit and C_VerifyInit. */
export function signMechanism(memory: NativeMemory, sign: SignMechanism): Buffer {
  switch (sign.kind) {
    case 'ecdsa':
      return mechanism(memory, 'CKM_ECDSA');
    case 'rsa-pkcs':
      return mechanism(memory, 'CKM_RSA_PKCS');
    case 'hmac':
      return mechanism(memory, HASH[sign.hash].hmac);
    default: {
      // CK_RSA_PKCS_PSS_PARAMS: hashAlg, mgf, sLen.
      const { mechanism: name, bytes } = HASH[sign.hash];
      return mechanism(memory, 'CKM_RSA_PKCS_PSS', memory.struct(CKM[name], CKG[sign.hash], bytes));
    }
  }
}

/** What C_Sign and C_Verify take for the caller's data. @throws Pkcs11Error data-invalid */
export function signInput(sign: SignMechanism, data: Buffer): Buffer {
  if ((sign.kind === 'rsa-pkcs' || sign.kind === 'rsa-pkcs-pss') && data.length !== HASH[sign.hash].bytes) {
    throw new Pkcs11Error(
      'data-invalid',
      `What is signed with ${sign.hash} must be its digest, ${HASH[sign.hash].bytes} bytes, not ${data.length}.`,
    );
  }
  if (sign.kind !== 'rsa-pkcs') return data;
  return Buffer.concat([Buffer.from(DIGEST_INFO_PREFIX[sign.hash], 'hex'), data]);
}

function wrongIv(cipher: string, bytes: number): Pkcs11Error {
  return new Pkcs11Error('invalid-option', `${cipher} needs an initialization vector of ${bytes} bytes.`);
}
