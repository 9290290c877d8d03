export * from './transformer.js';
export { aggregateErrors, EnvelopeError, errorMessage, type EnvelopeErrorCode } from './errors.js';
export { newRequestUid, type RandomBytes } from './randomness.js';
export { createIdentityTransformer } from './identity.js';
export { createAesGcmTransformer, type AesGcmOptions } from './aes-gcm.js';
export { createAesCbcTransformer, type AesCbcOptions } from './aes-cbc.js';
export { createSecretboxTransformer, type SecretboxOptions } from './secretbox.js';
export {
  createPrefixTransformer,
  type PrefixedTransformer,
  type PrefixTransformerOptions,
  type TransformationType,
  type TransformObserver,
} from './prefix.js';
export {
  createKmsV1Transformer,
  type KmsV1Observer,
  type KmsV1Options,
  type KmsV1Wrapper,
} from './kms-v1.js';
export {
  createKmsV2Transformer,
  DEK_SOURCE_TTL_MS,
  type KmsV2Decrypter,
  type KmsV2Observer,
  type KmsV2Options,
} from './kms-v2.js';
export {
  createKmsV2WriteState,
  extendKmsV2WriteState,
  hashKeyId,
  rfc3339,
  type KmsV2WriteState,
  type KmsV2WriteStateOptions,
} from './kms-v2-write-state.js';
export { SEED_BYTES } from './dek.js';
export {
  decodeEncryptedObject,
  DEK_SOURCE_TYPE,
  encodeEncryptedObject,
  keyIdProblem,
  type Annotations,
  type DekSource,
  type DekSourceType,
  type EncryptedObject,
} from './kms-v2-object.js';
