/**
 * Data under a DEK source: how KMS v2 opens and seals once the KMS has unwrapped the source.
 *
 * - `AES_GCM_KEY`: the source is the DEK; the data is AES-GCM as in `aes-gcm.ts`. Only read: writing under one DEK for
 *   long would need a nonce counter.
 * - `HKDF_SHA256_XNONCE_AES_GCM_SEED`: info (32 bytes) ‖ nonce ‖ ciphertext ‖ tag, under DEK = HKDF-Expand(SHA-256,
 *   seed, info, 32). A DEK seals one value, so no number of writes wears the seed out.
 *
 * Source of the rule: k8s.io/apiserver `storage/value/encrypt/aes` (aes_extended_nonce.go); RFC 5869 §2.3.
 */
import { createSecretKey } from 'node:crypto';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { GCM_NONCE_BYTES, GCM_TAG_BYTES, gcmCipher, openGcm, sealGcmInto } from './aes-gcm.js';
import { EnvelopeError, tooShort } from './errors.js';
import { DEK_SOURCE_TYPE, type DekSourceType } from './kms-v2-object.js';
import type { RandomFill } from './randomness.js';

export const SEED_BYTES = 32;
const INFO_BYTES = 32;
const DERIVED_KEY_BYTES = 32;
const DERIVED_CIPHER = 'aes-256-gcm';

/** Bytes that sealing under a seed adds to a value. */
export const SEED_OVERHEAD_BYTES = INFO_BYTES + GCM_NONCE_BYTES + GCM_TAG_BYTES;

/** Opens what was sealed under one DEK source. */
export interface DekReader {
  open(sealed: Buffer, authenticatedData: Buffer): Buffer;
}

/** Seals under one seed. */
export interface DekWriter extends DekReader {
  /** Writes info ‖ nonce ‖ ciphertext ‖ tag at `start`: `data.length` + SEED_OVERHEAD_BYTES bytes. */
  sealInto(
    data: Buffer,
    authenticatedData: Buffer,
    target: Buffer,
    start: number,
    fillRandom: RandomFill,
  ): void;
}

/** Keeps the keys that were derived for reading; see `derived-keys.ts`. `seed` stands for one seed by identity. */
export interface DerivedKeyCache {
  get(seed: object, info: Buffer, authenticatedData: Buffer): Buffer | undefined;
  /** Copies `info` and `key`. */
  set(seed: object, info: Buffer, authenticatedData: Buffer, key: Buffer): void;
}

/**
 * @param dek what the KMS returned; wiped before this function returns
 * @throws EnvelopeError `invalid-key` when it has no usable length
 */
export function createDekReader(type: DekSourceType, dek: Buffer, derivedKeys: DerivedKeyCache): DekReader {
  return type === DEK_SOURCE_TYPE.AES_GCM_KEY ? createDirectDek(dek) : createSeedDek(dek, derivedKeys);
}

function createDirectDek(dek: Buffer): DekReader {
  const cipher = gcmCipher(dek.length);
  const key = createSecretKey(dek);
  dek.fill(0);
  return { open: (sealed, authenticatedData) => openGcm(cipher, key, sealed, 0, authenticatedData) };
}

/**
 * @param seed at least 32 random bytes; wiped before this function returns
 * @throws EnvelopeError `invalid-key` when it is shorter
 */
export function createSeedDek(seed: Buffer, derivedKeys: DerivedKeyCache): DekWriter {
  if (seed.length < SEED_BYTES) {
    throw new EnvelopeError('invalid-key', `invalid seed length ${seed.length} used for key generation`);
  }
  const expand = createExpand(seed);
  seed.fill(0);
  return {
    open(sealed, authenticatedData) {
      if (sealed.length < INFO_BYTES) throw tooShort();
      const info = sealed.subarray(0, INFO_BYTES);
      const known = derivedKeys.get(expand, info, authenticatedData);
      if (known !== undefined) return openGcm(DERIVED_CIPHER, known, sealed, INFO_BYTES, authenticatedData);
      const derived = expand(info);
      try {
        const data = openGcm(DERIVED_CIPHER, derived, sealed, INFO_BYTES, authenticatedData);
        derivedKeys.set(expand, info, authenticatedData, derived);
        return data;
      } finally {
        derived.fill(0);
      }
    },
    sealInto(data, authenticatedData, target, start, fillRandom) {
      const nonceStart = start + INFO_BYTES;
      fillRandom(target, start, nonceStart + GCM_NONCE_BYTES);
      // Not kept: a value that is only written needs its key once.
      const derived = expand(target.subarray(start, nonceStart));
      sealGcmInto(DERIVED_CIPHER, derived, data, authenticatedData, target, nonceStart);
      derived.fill(0);
    },
  };
}

/**
 * HKDF-Expand(SHA-256, seed, info, 32): one block is enough, so it is HMAC(seed, info ‖ 0x01), RFC 5869 §2.3; the seed
 * is the PRK. The HMAC's keyed inner and outer states are computed once and copied for each call, which leaves two
 * compressions of the four; node:crypto can only start anew.
 */
function createExpand(seed: Buffer): (info: Buffer) => Buffer {
  const keyed = hmac.create(sha256, seed);
  const scratch = keyed.clone();
  const input = Buffer.alloc(INFO_BYTES + 1);
  input[INFO_BYTES] = 1;
  // One buffer for every key: OpenSSL copies it before the caller returns, and each caller wipes it.
  const derived = Buffer.alloc(DERIVED_KEY_BYTES);
  return (info) => {
    info.copy(input);
    keyed._cloneInto(scratch).update(input).digestInto(derived);
    return derived;
  };
}
