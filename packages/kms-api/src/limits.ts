/**
 * The sizes the KMS contract allows, checked on both sides of the socket.
 *
 * Source: the comments of k8s.io/kms apis/v2/api.proto and the checks of k8s.io/apiserver
 * `storage/value/encrypt/envelope/kmsv2`, which refuses to store what exceeds them.
 */

/** v2: the id of a key, in UTF-8 bytes. At least 1. */
export const keyIdMaxBytes = 1024;

/** v2: a wrapped DEK source. At least 1. */
export const ciphertextMaxBytes = 1024;

/** v2: keys and values of all annotations together. */
export const annotationsMaxBytes = 32 * 1024;

/** v1: the stored value carries the wrapped DEK behind a 16-bit length. */
export const v1CiphertextMaxBytes = 65535;

/**
 * What a caller may ask to have wrapped. The contract names no limit; DEKs and seeds are 32 bytes, and 4 KiB is the most
 * AWS KMS wraps, so nothing that works anywhere is refused here.
 */
export const plaintextMaxBytes = 4096;

/** `uid` names one call in logs; an API server sends a UUID of 36 bytes. */
export const uidMaxBytes = 1024;

/** `healthz`, `version` and v1's runtime names: short texts for people. */
export const textMaxBytes = 4096;

/**
 * A whole message. The largest lawful one is a v2 response with 32 KiB of annotations made of the shortest names
 * (each entry adds up to eight bytes of framing to at least three of its own), with room to spare.
 */
export const messageMaxBytes = 192 * 1024;

/** The API server waits this long for an answer unless its configuration says otherwise. */
export const callTimeoutMs = 3000;
