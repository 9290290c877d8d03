/**
 * What the rest of Waxseal sees of a PKCS#11 token: its keys by name, and what they do. Session handles, object handles and
 * logins stay behind it (session-pool.ts).
 *
 * After PKCS#11 2.40 (OASIS); mechanisms named as there, without the CKM_ and in lower case.
 */
import type { KeyObject } from 'node:crypto';

/** A token as C_GetTokenInfo describes it. */
export interface TokenInfo {
  readonly slotId: number;
  readonly label: string;
  readonly serialNumber: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly initialized: boolean;
  /** The user must log in before private objects are seen. */
  readonly loginRequired: boolean;
  /** One more wrong PIN, and the token locks. */
  readonly pinFinalTry: boolean;
  readonly pinLocked: boolean;
}

export interface SlotInfo {
  readonly slotId: number;
  readonly description: string;
  /** Absent: no token in this slot. */
  readonly token?: TokenInfo | undefined;
}

/** A loaded PKCS#11 library. One per path and process: opening it again gives the same one. */
export interface Pkcs11Module {
  readonly path: string;
  /** CK_INFO: `manufacturer` and `description` as the library states them, `cryptokiVersion` like `2.40`. */
  readonly info: {
    readonly manufacturer: string;
    readonly description: string;
    readonly cryptokiVersion: string;
  };
  /** @throws Pkcs11Error */
  slots(): Promise<readonly SlotInfo[]>;
  /** @throws Pkcs11Error token-not-found, token-ambiguous, pin-incorrect, pin-locked, token-gone, timeout */
  openToken(options: OpenTokenOptions): Promise<Token>;
}

/** Every name given must fit; at least one is needed unless the module has exactly one initialized token. */
export interface OpenTokenOptions {
  readonly label?: string | undefined;
  readonly serialNumber?: string | undefined;
  readonly slotId?: number | undefined;
  /** The user's PIN. Kept while the token is open, for a new login after the token was away; zeroed by close(). This buffer itself is zeroed at once. */
  readonly pin: Buffer;
  /** Sessions opened at most; one operation runs in each at a time. Default 8. */
  readonly maxSessions?: number | undefined;
  /** Operations that wait for a session at most; one more fails at once with `timeout`. Default 1024. */
  readonly maxWaiting?: number | undefined;
  /** For one operation, waiting for a session included. Default 10 s. */
  readonly timeoutMs?: number | undefined;
}

export type KeyClass = 'secret' | 'private' | 'public';
export type KeyType = 'aes' | 'generic-secret' | 'rsa' | 'ec' | 'other';

/**
 * A key of a token. It names the key and stays usable when sessions are lost and the token comes back; the handle it was
 * found under is no part of it.
 */
export interface TokenKey {
  readonly keyClass: KeyClass;
  readonly keyType: KeyType;
  /** CKA_LABEL */
  readonly label: string;
  /** CKA_ID; may be empty */
  readonly id: Buffer;
}

/** All that is given must fit. */
export interface KeySearch {
  readonly keyClass?: KeyClass | undefined;
  readonly keyType?: Exclude<KeyType, 'other'> | undefined;
  readonly label?: string | undefined;
  readonly id?: Buffer | undefined;
}

/** What may be read of a key; absent where the token does not say. Never a secret value. */
export interface KeyAttributes {
  readonly sensitive?: boolean | undefined;
  readonly extractable?: boolean | undefined;
  readonly alwaysSensitive?: boolean | undefined;
  readonly neverExtractable?: boolean | undefined;
  /** CKA_LOCAL: generated on the token. */
  readonly local?: boolean | undefined;
  readonly token?: boolean | undefined;
  readonly private?: boolean | undefined;
  readonly encrypt?: boolean | undefined;
  readonly decrypt?: boolean | undefined;
  readonly sign?: boolean | undefined;
  readonly verify?: boolean | undefined;
  readonly wrap?: boolean | undefined;
  readonly unwrap?: boolean | undefined;
  readonly derive?: boolean | undefined;
  /** CKA_END_DATE: the last day it is meant to be used, midnight UTC. Few tokens enforce it. */
  readonly endDate?: Date | undefined;
  /** CKA_VALUE_LEN of a secret key, bytes. */
  readonly valueBytes?: number | undefined;
  /** RSA, big-endian. */
  readonly modulus?: Buffer | undefined;
  readonly publicExponent?: Buffer | undefined;
  /** DER of the curve's object identifier. */
  readonly ecParams?: Buffer | undefined;
  /** The uncompressed point, unwrapped from its OCTET STRING. */
  readonly ecPoint?: Buffer | undefined;
}

export interface GenerateKeyOptions {
  readonly label: string;
  /** CKA_ID; two keys of one pair share it. */
  readonly id: Buffer;
  /** CKA_END_DATE, a day in UTC. Default: none. */
  readonly endDate?: Date | undefined;
}

/** Default of every flag: false. The key is always CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE and never extractable. */
export interface SecretKeyUsage {
  readonly encryptDecrypt?: boolean | undefined;
  readonly signVerify?: boolean | undefined;
  readonly wrapUnwrap?: boolean | undefined;
}

export interface KeyPairUsage {
  readonly encryptDecrypt?: boolean | undefined;
  readonly signVerify?: boolean | undefined;
}

export interface TokenKeyPair {
  readonly publicKey: TokenKey;
  readonly privateKey: TokenKey;
}

export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512';
export type EcCurve = 'P-256' | 'P-384' | 'P-521' | 'secp256k1';

/** How to encrypt and decrypt. */
export type CipherMechanism =
  | {
      readonly kind: 'aes-gcm';
      /** 12 bytes, never twice under one key. */
      readonly iv: Buffer;
      readonly aad?: Buffer | undefined;
      /** Default 128. The tag follows the ciphertext. */
      readonly tagBits?: 96 | 104 | 112 | 120 | 128 | undefined;
    }
  | { readonly kind: 'aes-cbc-pad'; /** 16 bytes */ readonly iv: Buffer }
  | {
      readonly kind: 'rsa-pkcs-oaep';
      readonly hash: 'sha1' | 'sha256';
      /** Of the mask generation function; default: the same hash. */
      readonly mgfHash?: 'sha1' | 'sha256' | undefined;
    }
  /** RFC 3394; plaintext is a multiple of 8 bytes, at least 16. The key needs `wrapUnwrap`. */
  | { readonly kind: 'aes-key-wrap' }
  /** RFC 5649; any length from 1 byte, but `mechanism-unsupported` where the token keeps multiples of 8 only. The key needs `wrapUnwrap`. */
  | { readonly kind: 'aes-key-wrap-pad' };

/** How to sign. `data` is the digest for every mechanism but HMAC, where it is the message. */
export type SignMechanism =
  /** Signature: r ‖ s, each as long as the curve's order. */
  | { readonly kind: 'ecdsa' }
  | { readonly kind: 'rsa-pkcs'; readonly hash: HashName }
  /** The salt is as long as the digest. */
  | { readonly kind: 'rsa-pkcs-pss'; readonly hash: HashName }
  | { readonly kind: 'hmac'; readonly hash: HashName };

/** One mechanism of a token. Sizes are in the mechanism's own unit: bits for RSA and EC, bytes for AES. */
export interface MechanismInfo {
  /** e.g. `CKM_AES_GCM`; `0x…` when PKCS#11 3.0 does not name it. */
  readonly name: string;
  readonly minKeySize: number;
  readonly maxKeySize: number;
  readonly encrypt: boolean;
  readonly decrypt: boolean;
  readonly sign: boolean;
  readonly wrap: boolean;
  readonly generate: boolean;
}

/**
 * An open token, logged in. Every method runs in a session of its own off the event loop, and throws Pkcs11Error; beside the codes
 * named, any of them can end in `token-gone`, `token-failed`, `timeout`, `closed`, and after a changed PIN `pin-incorrect`: that one
 * is never tried again, since tokens lock after a few wrong PINs.
 */
export interface Token {
  readonly info: TokenInfo;
  mechanisms(): Promise<readonly MechanismInfo[]>;
  findKeys(search: KeySearch): Promise<readonly TokenKey[]>;
  /** @throws Pkcs11Error key-not-found, key-ambiguous */
  findKey(search: KeySearch): Promise<TokenKey>;
  /** @throws Pkcs11Error key-not-found when it has been destroyed */
  attributes(key: TokenKey): Promise<KeyAttributes>;
  /** Of a public or private RSA or EC key; a private EC key needs its public key (same CKA_ID) on the token. */
  publicKey(key: TokenKey): Promise<KeyObject>;
  /** @throws Pkcs11Error mechanism-unsupported, token-full */
  generateAesKey(
    options: GenerateKeyOptions & SecretKeyUsage & { readonly bytes: 16 | 24 | 32 },
  ): Promise<TokenKey>;
  /** For HMAC. @throws Pkcs11Error mechanism-unsupported, token-full */
  generateGenericSecretKey(
    options: GenerateKeyOptions & SecretKeyUsage & { readonly bytes: number },
  ): Promise<TokenKey>;
  generateRsaKeyPair(
    options: GenerateKeyOptions & KeyPairUsage & { readonly modulusBits: 2048 | 3072 | 4096 },
  ): Promise<TokenKeyPair>;
  generateEcKeyPair(
    options: GenerateKeyOptions & Pick<KeyPairUsage, 'signVerify'> & { readonly curve: EcCurve },
  ): Promise<TokenKeyPair>;
  /** @throws Pkcs11Error mechanism-unsupported, key-forbids, data-invalid, key-not-found */
  encrypt(key: TokenKey, mechanism: CipherMechanism, plaintext: Buffer): Promise<Buffer>;
  /** @throws Pkcs11Error ciphertext-invalid, mechanism-unsupported, key-forbids, key-not-found */
  decrypt(key: TokenKey, mechanism: CipherMechanism, ciphertext: Buffer): Promise<Buffer>;
  /** @throws Pkcs11Error mechanism-unsupported, key-forbids, data-invalid, key-not-found */
  sign(key: TokenKey, mechanism: SignMechanism, data: Buffer): Promise<Buffer>;
  /** With a public key, or a secret one for HMAC. False: the signature is not of this data and key. */
  verify(key: TokenKey, mechanism: SignMechanism, data: Buffer, signature: Buffer): Promise<boolean>;
  /** From the token's own generator. @param bytes 1 to 65536 */
  generateRandom(bytes: number): Promise<Buffer>;
  /** Removes the key from the token, for good; true when it was there. */
  destroy(key: TokenKey): Promise<boolean>;
  /** Waits for running operations within the timeout, closes the sessions, zeroes the PIN. Does not throw; again: no effect. */
  close(): Promise<void>;
}
